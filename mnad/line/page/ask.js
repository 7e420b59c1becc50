// Asking the server, and small helpers of all views.
export const find = (id) => document.getElementById(id)

export function make(tag, attributes = {}, ...children) {
  const svg = ['svg', 'rect', 'line', 'polyline'].includes(tag)
  const element = svg ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  element.append(...children.filter((child) => child !== null))
  return element
}

export const number = (value) => (value === null || value === undefined ? '–' : value.toPrecision(4))
export const signed = (value) => (value === null || value === undefined ? '–' : (value < 0 ? '−' : '+') + Math.abs(value).toPrecision(3))
export const kind = (row) => (row.error ? 'error' : row.verdict)
export const word = (row) => (row.error ? 'no verdict' : row.verdict)
export const badge = (row) => make('span', { class: `badge ${kind(row)}` }, word(row))

export class Refusal extends Error {
  constructor(status, line) { super(line); this.status = status }
}

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds))

// One request; tried again while the server is busy. A refusal is an error with the server's own line.
export async function ask(path, options = {}, tries = 6) {
  const token = sessionStorage.getItem('token')
  const headers = { ...(options.headers ?? {}), ...(token ? { Authorization: `Bearer ${token}` } : {}) }
  for (let turn = 1; ; turn++) {
    let answer
    try { answer = await fetch(path, { ...options, headers }) } catch { throw new Refusal(0, 'The server cannot be reached.') }
    if (answer.ok) return answer
    if ((answer.status === 429 || answer.status === 503) && turn < tries) { await pause(400 * turn); continue }
    let line = answer.statusText
    try { line = (await answer.json()).error } catch { /* no line of JSON */ }
    throw new Refusal(answer.status, line)
  }
}

// A photograph as the browser decodes it, upright; null where it cannot (TIFF, damaged files).
export async function decode(file) {
  try { return await createImageBitmap(file) } catch { return null }
}

// A part of a photograph as a small picture.
export function shrink(bitmap, box, longest = 224) {
  const { x, y, width, height } = box ?? { x: 0, y: 0, width: bitmap.width, height: bitmap.height }
  const scale = Math.min(1, longest / Math.max(width, height))
  const canvas = make('canvas', { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) })
  canvas.getContext('2d').drawImage(bitmap, x, y, width, height, 0, 0, canvas.width, canvas.height)
  return canvas.toDataURL('image/jpeg', 0.85)
}

// Files dropped on an element or chosen in a field.
export function takeFiles(area, field, button, take) {
  const over = (event) => { event.preventDefault(); area.classList.add('over') }
  area.addEventListener('dragenter', over)
  area.addEventListener('dragover', over)
  area.addEventListener('dragleave', (event) => { if (!area.contains(event.relatedTarget)) area.classList.remove('over') })
  area.addEventListener('drop', (event) => {
    event.preventDefault()
    area.classList.remove('over')
    take([...event.dataTransfer.files])
  })
  button.addEventListener('click', () => field.click())
  field.addEventListener('change', () => { take([...field.files]); field.value = '' })
}
