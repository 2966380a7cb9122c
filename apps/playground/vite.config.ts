import react from '@vitejs/plugin-react'
import { defaultClientConditions, defineConfig } from 'vite'

export default defineConfig({
  plugins: [react()],
  // The sources of the packages, so that nothing has to be built first.
  resolve: { conditions: ['@turnpike/source', ...defaultClientConditions] },
  build: {
    target: 'es2023',
    // Those that know light-dark(), which the style is built on.
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    // The page's content security policy has no place for data URLs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      output: {
        // What changes seldom stays in caches. The charts come with the page that has them.
        codeSplitting: {
          groups: [
            { name: 'react', test: /node_modules\/(react|react-dom|scheduler)\// },
            { name: 'libraries', test: /node_modules\/(?!uplot)/ },
          ],
        },
      },
    },
  },
})
