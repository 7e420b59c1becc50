// Photographs dropped on the page: sent in parts, shown with their verdicts, the worst first.
import { ask, badge, decode, find, kind, make, number, shrink, signed, takeFiles } from './ask.js'

const SHOWN = 300 // rows on the page, the worst
let limits = { images: 64, request_bytes: 1e8, file_bytes: 2e7 }
let cameras = []
let results = [] // { row, file, camera, well, thumbnail, order }
let queue = Promise.resolve()
let sent = 0
let wanted = 0

export function setLimits(found) { limits = found }

export function setCameras(found) {
  cameras = found.filter((camera) => !camera.error)
  const select = find('camera'), chosen = select.value
  select.replaceChildren(make('option', { value: '' }, 'nothing: each is one well'))
  for (const camera of cameras) select.append(make('option', { value: camera.id }, `${camera.id} (${camera.boxes.length} wells)`))
  select.value = cameras.some((camera) => camera.id === chosen) ? chosen : ''
}

function parts(files, wells) {
  const found = [[]]
  const most = Math.max(1, Math.min(limits.images, 16, Math.floor(limits.per_client / Math.max(wells, 1))))
  let bytes = 0
  for (const file of files) {
    if (found.at(-1).length && (found.at(-1).length === most || bytes + file.size > limits.request_bytes * 0.9)) { found.push([]); bytes = 0 }
    found.at(-1).push(file)
    bytes += file.size
  }
  return found
}

function refused(file, line) { return { path: file.name, verdict: null, score: null, threshold: null, margin: null, error: line } }

async function judge(files, camera) {
  const boxes = camera?.boxes ?? [null]
  const form = new FormData()
  if (camera) form.append('camera', camera.id)
  const long = files.filter((file) => file.size > limits.file_bytes)
  for (const file of long) add(refused(file, `${file.name}: ${file.size.toLocaleString()} bytes; expected at most ${limits.file_bytes.toLocaleString()}`), file, null, null, '')
  const short = files.filter((file) => !long.includes(file))
  if (!short.length) return
  for (const file of short) form.append('files', file, file.name)
  let rows
  try { rows = await (await ask('verdicts', { method: 'POST', body: form })).json() } catch (error) {
    for (const file of short) add(refused(file, error.message), file, null, null, '')
    find('problem').textContent = error.message
    return
  }
  for (const [i, file] of short.entries()) {
    const bitmap = await decode(file)
    for (const [j, box] of boxes.entries()) {
      const row = rows[i * boxes.length + j]
      add(row, file, camera, box, bitmap ? shrink(bitmap, box) : '')
    }
    bitmap?.close()
  }
}

function add(row, file, camera, box, thumbnail) {
  results.push({ row, file, camera, well: box?.id ?? '', thumbnail, order: results.length })
}

function send(files) {
  if (!files.length) return
  const camera = cameras.find((one) => one.id === find('camera').value) ?? null
  find('problem').textContent = ''
  wanted += files.length
  for (const part of parts(files, camera?.boxes.length ?? 1)) {
    queue = queue.then(() => judge(part, camera)).then(() => { sent += part.length; show() })
  }
  show()
}

function marginBar(row, scale) {
  const x = 50 * Math.max(-1, Math.min(1, row.margin / scale))
  return make('svg', { class: 'margin', viewBox: '0 0 100 6', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    make('rect', { class: 'track', width: 100, height: 6, rx: 1 }),
    make('rect', { class: kind(row), x: 50 + Math.min(0, x), width: Math.abs(x), height: 6 }),
    make('rect', { class: 'zero', x: 49.8, width: 0.5, height: 6 }))
}

async function showMap(result, pictures, button) {
  button.disabled = true
  const form = new FormData()
  if (result.camera) { form.append('camera', result.camera.id); form.append('well', result.well) }
  form.append('files', result.file, result.file.name)
  try {
    const map = await (await ask('map', { method: 'POST', body: form })).blob()
    const picture = make('img', { class: 'thumb map', alt: 'anomaly map: bright where the photograph is not as expected' })
    picture.src = URL.createObjectURL(map)
    picture.addEventListener('load', () => URL.revokeObjectURL(picture.src))
    pictures.append(picture)
    button.remove()
  } catch (error) {
    find('problem').textContent = error.message
    button.disabled = false
  }
}

function card(result, scale) {
  const { row } = result
  const picture = result.thumbnail ? make('img', { class: 'thumb', alt: '', src: result.thumbnail }) : make('span', { class: 'thumb' })
  const pictures = make('div', { class: 'maps' }, picture)
  const told = row.error
    ? make('p', { class: 'reason' }, row.error)
    : make('p', {}, badge(row), make('span', { class: 'number soft' }, `margin ${signed(row.margin)} · score ${number(row.score)}`))
  const text = make('div', {}, make('p', { class: 'name' }, row.path), told, row.error ? null : marginBar(row, scale))
  const item = make('li', { class: `result ${kind(row)}` }, pictures, text)
  if (!row.error) {
    const button = make('button', { type: 'button', 'aria-label': `Where: ${row.path}` }, 'Where?')
    button.addEventListener('click', () => showMap(result, pictures, button))
    item.append(button)
  }
  return item
}

function show() {
  const busy = sent < wanted, bar = find('progress')
  bar.hidden = !busy
  bar.value = wanted ? sent / wanted : 0
  const counts = { anomalous: 0, normal: 0, error: 0 }
  for (const { row } of results) counts[kind(row)] += 1
  for (const [name, count] of Object.entries(counts)) {
    const tile = document.querySelector(`.count.${name}`)
    tile.querySelector('b').textContent = count
    tile.classList.toggle('some', count > 0)
  }
  find('counts').hidden = find('bar').hidden = !results.length
  const rank = (result) => (result.row.error ? -Infinity : result.row.margin)
  const sorted = [...results].sort((a, b) => rank(b) - rank(a) || a.order - b.order)
  const scale = Math.max(1e-9, ...results.map(({ row }) => (row.error ? 0 : Math.min(Math.abs(row.margin), 4 * Math.abs(row.threshold) + 1e-9))))
  const shown = sorted.slice(0, SHOWN)
  for (const result of sorted.slice(SHOWN)) { result.thumbnail = ''; if (!busy) result.file = null }
  const hidden = sorted.length - shown.length
  find('shown').textContent = `${busy ? `${sent} of ${wanted} photographs, ` : ''}${sorted.length} verdicts, worst first${hidden ? `, the first ${SHOWN} shown` : ''}. The bar is the margin: right of the middle is anomalous.`
  const old = new Map(shown.map((result) => [result, result.card]))
  for (const result of shown) if (!old.get(result) || result.scale !== scale) {
    const mapped = result.card?.querySelector('.map')
    const fresh = card(result, scale)
    if (mapped) { fresh.querySelector('.maps').append(mapped); fresh.querySelector('button')?.remove() }
    result.card = fresh
    result.scale = scale
  }
  find('results').replaceChildren(...shown.map((result) => result.card))
}

function saveCsv() {
  const columns = []
  for (const { row } of results) for (const name of Object.keys(row)) if (!columns.includes(name)) columns.push(name)
  const cell = (value) => { const text = value === null || value === undefined ? '' : String(value); return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text }
  const lines = [columns, ...results.map(({ row }) => columns.map((name) => row[name]))].map((line) => line.map(cell).join(','))
  const link = make('a', { download: 'verdicts.csv' })
  link.href = URL.createObjectURL(new Blob([`${lines.join('\n')}\n`], { type: 'text/csv' }))
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 1000)
}

export function start() {
  takeFiles(find('drop'), find('files'), find('choose'), send)
  find('save-csv').addEventListener('click', saveCsv)
  find('clear').addEventListener('click', () => { results = []; sent = wanted = 0; find('problem').textContent = ''; show(); find('choose').focus() })
}
