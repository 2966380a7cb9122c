import { defaultClientConditions, defineConfig } from 'vite'

export default defineConfig({
  // The sources of the packages, so that nothing has to be built first.
  resolve: { conditions: ['@turnpike/source', ...defaultClientConditions] },
  build: {
    target: 'es2023',
    // The page's content security policy has no place for data URLs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
})
