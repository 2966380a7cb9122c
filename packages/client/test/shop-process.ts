// An entity in a process of its own, told by its parent what to do, so that it can be killed.
import { connectTools, tool } from '../src/tools/index.ts'

const tell = (message: object): boolean => process.send?.(message) ?? false

const shop = connectTools({
  url: process.env['GATEWAY_URL'] ?? '',
  entity: 'shop',
  tools: [
    tool({
      name: 'status',
      description: 'Where an order is',
      parameters: { type: 'object', properties: { order: { type: 'string' } }, required: ['order'] },
      execute: async ({ order }) => {
        tell({ called: order })
        // One that is named so never comes back.
        if (order === 'lost') await new Promise(() => {})
        return { order, by: process.pid }
      },
    }),
  ],
  onState: ({ status }) => tell({ status }),
})
process.on('disconnect', () => shop.close())
