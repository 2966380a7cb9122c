import { templateOf } from './agent-server-path.ts'
import type { RegisteredRoute } from './agent-server-routes.ts'

const ERROR = { $ref: '#/components/schemas/Error' }

/** Describes routes in the words of OpenAPI 3.1. */
export function openApiOf(
  routes: readonly RegisteredRoute[],
  { basePath, isSecured }: { basePath: string; isSecured: boolean },
): object {
  const paths = new Map<string, Record<string, object>>()
  for (const route of routes) {
    const { template, parameters } = templateOf(`${basePath}${route.path}`)
    const operations = paths.get(template) ?? {}
    operations[route.method.toLowerCase()] = operationOf(route, parameters, isSecured)
    paths.set(template, operations)
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Routes of this server', version: '1' },
    paths: Object.fromEntries(paths),
    components: {
      schemas: { Error: errorSchema },
      ...(isSecured && { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } }),
    },
  }
}

function operationOf(
  { description, tags, open }: RegisteredRoute,
  parameters: readonly string[],
  isSecured: boolean,
): object {
  return {
    ...(description !== undefined && { description }),
    ...(tags && { tags }),
    ...(parameters.length > 0 && {
      parameters: parameters.map((name) => ({
        name,
        in: 'path',
        required: true,
        schema: { type: 'string' },
      })),
    }),
    ...(isSecured && !open && { security: [{ bearer: [] }] }),
    responses: {
      '2XX': { description: 'What the route answers.' },
      default: { description: 'It failed.', content: { 'application/json': { schema: ERROR } } },
    },
  }
}

const errorSchema = {
  type: 'object',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['code', 'message'],
      properties: { code: { type: 'string' }, message: { type: 'string' } },
    },
  },
}
