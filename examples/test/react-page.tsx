import { createRoot } from 'react-dom/client'
import { App } from '../react.tsx'

const { document } = globalThis as unknown as { document: { getElementById(id: string): Element } }
createRoot(document.getElementById('root')).render(<App />)
