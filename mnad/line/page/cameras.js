// The boxes of a camera, drawn on a photograph of it: mouse, touch or keyboard.
import { ask, decode, find, make, takeFiles } from './ask.js'

const GRIP = 12 // pixels of the screen around a corner that resize
let cameras = []
let boxes = []
let chosen = -1
let bitmap = null
let drag = null
let saved = () => {}

const canvas = () => find('canvas')
const told = (line) => { find('camera-told').textContent = line }
const problem = (line) => { find('camera-problem').textContent = line }
const clamp = (value, low, high) => Math.max(low, Math.min(high, Math.round(value)))
const extent = () => ({ width: canvas().width, height: canvas().height })
const unit = () => canvas().width / Math.max(1, canvas().getBoundingClientRect().width) // pixels of the photograph in one of the screen

export function setCameras(found) {
  cameras = found
  find('camera-names').replaceChildren(...found.map((camera) => make('option', { value: camera.id })))
}

function fit(box) {
  const { width, height } = extent()
  box.width = clamp(box.width, 1, width)
  box.height = clamp(box.height, 1, height)
  box.x = clamp(box.x, 0, width - box.width)
  box.y = clamp(box.y, 0, height - box.height)
}

function freshName() {
  for (let i = 1; ; i++) { const name = `well-${String(i).padStart(2, '0')}`; if (!boxes.some((box) => box.id === name)) return name }
}

function draw() {
  const context = canvas().getContext('2d'), { width, height } = extent(), scale = unit()
  context.clearRect(0, 0, width, height)
  if (bitmap) context.drawImage(bitmap, 0, 0)
  context.font = `600 ${13 * scale}px system-ui, sans-serif`
  for (const [i, box] of boxes.entries()) {
    const colour = i === chosen ? '#ff9d2e' : '#38b6ff'
    context.lineWidth = (i === chosen ? 3 : 2) * scale
    context.strokeStyle = colour
    context.strokeRect(box.x, box.y, box.width, box.height)
    const wide = context.measureText(box.id).width + 8 * scale, top = box.y >= 18 * scale ? box.y - 18 * scale : box.y
    context.fillStyle = colour
    context.fillRect(box.x - scale, top, wide, 18 * scale)
    context.fillStyle = '#10151c'
    context.fillText(box.id, box.x + 3 * scale, top + 13.5 * scale)
    if (i !== chosen) continue
    context.fillStyle = colour
    for (const [x, y] of corners(box)) context.fillRect(x - 4 * scale, y - 4 * scale, 8 * scale, 8 * scale)
  }
}

const corners = (box) => [[box.x, box.y], [box.x + box.width, box.y], [box.x + box.width, box.y + box.height], [box.x, box.y + box.height]]

function table() {
  find('boxes').replaceChildren(...boxes.map((box, i) => {
    const row = make('tr', { class: i === chosen ? 'chosen' : '' })
    for (const name of ['id', 'x', 'y', 'width', 'height']) {
      const field = make('input', { 'aria-label': `${name} of well ${box.id}`, value: box[name], ...(name === 'id' ? { maxlength: 64 } : { type: 'number', min: 0 }) })
      field.addEventListener('focus', () => choose(i, false))
      field.addEventListener('input', () => { if (name === 'id') box.id = field.value.trim(); else if (field.value !== '') box[name] = Number(field.value); draw() })
      field.addEventListener('change', () => { fit(box); for (const [k, one] of ['x', 'y', 'width', 'height'].entries()) row.querySelectorAll('input')[k + 1].value = box[one]; draw() })
      row.append(make('td', {}, field))
    }
    const button = make('button', { type: 'button', 'aria-label': `Remove well ${box.id}` }, '×')
    button.addEventListener('click', () => remove(i))
    row.append(make('td', {}, button))
    return row
  }))
}

function choose(i, rebuild = true) {
  chosen = i
  if (rebuild) table()
  else [...find('boxes').rows].forEach((row, k) => row.classList.toggle('chosen', k === i))
  draw()
}

function remove(i) {
  boxes.splice(i, 1)
  choose(Math.min(i, boxes.length - 1))
  canvas().focus()
}

function add() {
  const { width, height } = extent()
  const size = boxes[chosen] ?? { x: width * 0.4, y: height * 0.4, width: width * 0.2, height: height * 0.2 }
  const box = { id: freshName(), x: size.x + (chosen >= 0 ? 20 : 0), y: size.y + (chosen >= 0 ? 20 : 0), width: size.width, height: size.height }
  fit(box)
  boxes.push(box)
  choose(boxes.length - 1)
  canvas().focus()
}

function place(event) {
  const frame = canvas().getBoundingClientRect()
  return [((event.clientX - frame.left) * canvas().width) / frame.width, ((event.clientY - frame.top) * canvas().height) / frame.height]
}

function down(event) {
  if (event.button) return
  const [x, y] = place(event), grip = GRIP * unit()
  canvas().setPointerCapture(event.pointerId)
  const corner = boxes[chosen] ? corners(boxes[chosen]).findIndex(([a, b]) => Math.hypot(a - x, b - y) < grip) : -1
  if (corner >= 0) {
    const [a, b] = corners(boxes[chosen])[(corner + 2) % 4] // the corner opposite stays
    drag = { kind: 'size', a, b }
    return
  }
  const hit = boxes.findLastIndex((box) => x >= box.x && x <= box.x + box.width && y >= box.y && y <= box.y + box.height)
  if (hit >= 0) {
    choose(hit)
    drag = { kind: 'move', dx: x - boxes[hit].x, dy: y - boxes[hit].y }
  } else drag = { kind: 'new', a: x, b: y }
}

function move(event) {
  if (!drag) return
  const [x, y] = place(event), { width, height } = extent()
  if (drag.kind === 'new') {
    if (Math.hypot(x - drag.a, y - drag.b) < 6 * unit()) return // a click, not a box
    boxes.push({ id: freshName(), x: 0, y: 0, width: 1, height: 1 })
    chosen = boxes.length - 1
    drag.kind = 'size'
  }
  const box = boxes[chosen]
  if (drag.kind === 'move') Object.assign(box, { x: x - drag.dx, y: y - drag.dy })
  else {
    const [left, right] = [clamp(drag.a, 0, width), clamp(x, 0, width)].sort((a, b) => a - b)
    const [top, bottom] = [clamp(drag.b, 0, height), clamp(y, 0, height)].sort((a, b) => a - b)
    Object.assign(box, { x: left, y: top, width: right - left, height: bottom - top })
  }
  fit(box)
  draw()
}

function up() {
  if (drag) { drag = null; table(); draw() }
}

function key(event) {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key], box = boxes[chosen]
  if (step && box) {
    const by = Math.max(1, Math.round(4 * unit()))
    if (event.shiftKey) { box.width += by * step[0]; box.height += by * step[1] } else { box.x += by * step[0]; box.y += by * step[1] }
    fit(box)
    table()
    draw()
  } else if ((event.key === 'Delete' || event.key === 'Backspace') && box) remove(chosen)
  else return
  event.preventDefault()
}

async function open(files) {
  if (!files.length) return
  const found = await decode(files[0])
  if (!found) { problem(`${files[0].name}: the browser cannot show it; expected JPEG, PNG, WebP or BMP`); return }
  problem('')
  bitmap?.close()
  bitmap = found
  Object.assign(canvas(), { width: found.width, height: found.height })
  for (const box of boxes) fit(box)
  const name = /^(.+)_\d{2}-\d{2}-\d{4}_\d{2}-\d{2}-\d{2}-\d{3}\.\w+$/.exec(files[0].name)?.[1]
  if (name && !find('camera-name').value) { find('camera-name').value = name; load() }
  told(`${files[0].name}, ${found.width} x ${found.height} pixels. Draw a box around each well; drag it to move it, its corners to resize it.`)
  choose(boxes.length ? 0 : -1)
}

function load() {
  const camera = cameras.find((one) => one.id === find('camera-name').value.trim())
  problem(camera?.error ?? '')
  if (!camera || camera.error) return
  boxes = camera.boxes.map((box) => ({ ...box }))
  if (!bitmap) Object.assign(canvas(), {
    width: Math.max(640, ...boxes.map((box) => box.x + box.width + 20)), height: Math.max(360, ...boxes.map((box) => box.y + box.height + 20)),
  })
  told(`${boxes.length} wells of camera ${camera.id}, as saved.`)
  choose(boxes.length ? 0 : -1)
}

async function save() {
  const name = find('camera-name').value.trim()
  problem('')
  try {
    if (!name) throw new Error('camera: no name; expected one')
    const answer = await ask(`cameras/${encodeURIComponent(name)}`, {
      method: 'PUT', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(boxes),
    })
    const { boxes: count } = await answer.json()
    told(`Saved: ${count} wells of camera ${name}.`)
    await saved()
  } catch (error) { problem(error.message) }
}

export function show() { draw() }

export function start(whenSaved) {
  saved = whenSaved
  takeFiles(find('board'), find('picture'), find('picture-choose'), open)
  find('camera-name').addEventListener('change', load)
  find('add').addEventListener('click', add)
  find('save').addEventListener('click', save)
  const board = canvas()
  board.addEventListener('pointerdown', down)
  board.addEventListener('pointermove', move)
  board.addEventListener('pointerup', up)
  board.addEventListener('pointercancel', up)
  board.addEventListener('keydown', key)
  window.addEventListener('resize', draw)
  draw()
}
