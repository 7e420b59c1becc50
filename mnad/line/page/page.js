// The page: its views, the token, and whether the server answers.
import { Refusal, ask, find } from './ask.js'
import * as cameras from './cameras.js'
import * as photographs from './photographs.js'
import * as wells from './wells.js'

const EVERY = 3000 // milliseconds between two looks at the server
const tabs = [...document.querySelectorAll('[role="tab"]')]
let known = false

function select(tab, focus = false) {
  for (const one of tabs) {
    const chosen = one === tab
    one.setAttribute('aria-selected', String(chosen))
    one.tabIndex = chosen ? 0 : -1
    find(one.getAttribute('aria-controls')).hidden = !chosen
  }
  if (focus) tab.focus()
  history.replaceState(null, '', `#${tab.getAttribute('aria-controls')}`)
  if (tab.id === 'tab-cameras') cameras.show()
}

function state(on, line) {
  const element = find('state')
  if (element.textContent !== line) element.textContent = line
  element.className = `state ${on ? 'on' : 'off'}`
}

async function loadCameras() {
  const found = (await (await ask('cameras')).json()).cameras
  photographs.setCameras(found)
  cameras.setCameras(found)
}

async function look() {
  try {
    if (!known) {
      const told = await (await ask('version', {}, 1)).json()
      find('about').textContent = `checkpoint ${told.checkpoint} ${told.checkpoint_sha256.slice(0, 8)} · threshold ${told.threshold.toPrecision(4)} · version ${told.version}`
      photographs.setLimits(told.limits)
      find('tab-cameras').hidden = !told.boxes
      await loadCameras()
      known = true
      find('key').hidden = true
    }
    await wells.refresh()
    const drift = await (await ask('drift')).json()
    find('drift').textContent = drift.lines[drift.lines.length - 1]
    find('drift').classList.toggle('drifted', drift.drifted === true)
    state(true, 'ready')
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    known = false
    if (error.status === 401) {
      const form = find('key')
      if (form.hidden) { form.hidden = false; find('token').focus() }
      find('key-problem').textContent = sessionStorage.getItem('token') ? 'The server does not know this token.' : ''
      state(false, 'token needed')
    } else state(false, error.status ? error.message : 'not reached')
  }
}

async function keepLooking() {
  if (!document.hidden && (known || find('key').hidden)) await look()
  setTimeout(keepLooking, EVERY)
}

for (const [i, tab] of tabs.entries()) {
  tab.addEventListener('click', () => select(tab))
  tab.addEventListener('keydown', (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
    if (!by) return
    let next = i
    do next = (next + by + tabs.length) % tabs.length; while (tabs[next].hidden)
    select(tabs[next], true)
  })
}
find('key').addEventListener('submit', (event) => {
  event.preventDefault()
  sessionStorage.setItem('token', find('token').value.trim())
  look()
})
for (const name of ['dragover', 'drop']) window.addEventListener(name, (event) => event.preventDefault()) // else the browser leaves the page

photographs.start()
wells.start()
cameras.start(loadCameras)
select(tabs.find((tab) => `#${tab.getAttribute('aria-controls')}` === location.hash) ?? tabs[0])
keepLooking()
