// The last verdicts of each well: the newest, and the margins before it.
import { ask, badge, find, kind, make, signed } from './ask.js'

let change = 0
let boot = ''
const wells = new Map() // camera and well -> what the server tells

function spark(rows) {
  const margins = rows.filter((row) => !row.error).map((row) => row.margin)
  const most = Math.max(1e-9, ...margins.map(Math.abs))
  const x = (i) => (margins.length > 1 ? 3 + (114 * i) / (margins.length - 1) : 60), y = (value) => 20 - (16 * value) / most
  const dots = margins.map((value, i) => make('line', { x1: x(i), x2: x(i), y1: y(value), y2: y(value), class: `dot ${value >= 0 ? 'anomalous' : ''}` }))
  return make('svg', { class: 'spark', viewBox: '0 0 120 40', preserveAspectRatio: 'none', role: 'img', 'aria-label': `margins of the last ${margins.length}, above the line anomalous` },
    make('line', { class: 'zero', x1: 0, x2: 120, y1: 20, y2: 20 }),
    make('polyline', { points: margins.map((value, i) => `${x(i)},${y(value)}`).join(' ') }), ...dots)
}

function card(entry) {
  const row = entry.verdicts.at(-1), count = entry.verdicts.filter((one) => one.verdict === 'anomalous').length
  const picture = entry.thumbnail ? make('img', { class: 'thumb', alt: '', src: entry.thumbnail }) : make('span', { class: 'thumb' })
  const name = [entry.camera || 'no camera', entry.well].filter(Boolean).join(' · ')
  return make('li', { class: `well ${kind(row)}` },
    make('div', { class: 'head' }, picture, make('div', {}, make('p', { class: 'name' }, name), make('p', {}, badge(row), make('span', { class: 'number soft' }, row.error ? '' : signed(row.margin))))),
    spark(entry.verdicts),
    make('p', { class: 'soft' }, `${(row.time ?? '').replace('T', ' ').slice(0, 19)} · ${count} of the last ${entry.verdicts.length} anomalous`),
    row.error ? make('p', { class: 'reason' }, row.error) : null)
}

function show() {
  const only = find('only').checked
  const rank = (entry) => { const row = entry.verdicts.at(-1); return row.error ? -1e9 : row.margin }
  const shown = [...wells.values()].filter((entry) => !only || entry.verdicts.at(-1).verdict === 'anomalous').sort((a, b) => rank(b) - rank(a))
  find('well-list').replaceChildren(...shown.map((entry) => entry.card))
  const bad = [...wells.values()].filter((entry) => entry.verdicts.at(-1).verdict === 'anomalous').length
  if (wells.size) find('wells-told').textContent = `${wells.size} wells since the server was started, ${bad} of them anomalous now; worst first. Dots above the dashed line are anomalous.`
}

export async function refresh() {
  let told = await (await ask(`wells?since=${change}`)).json()
  if (told.start !== boot) { // another server, or the same started anew
    wells.clear()
    if (change) told = await (await ask('wells?since=0')).json()
    boot = told.start
  }
  change = told.change
  for (const entry of told.wells) wells.set(`${entry.camera}\n${entry.well}`, { ...entry, card: card(entry) })
  if (told.wells.length) show()
}

export function start() { find('only').addEventListener('change', show) }
