"use strict"
const data = JSON.parse(document.getElementById("data").textContent)
const {rows, columns, size, images, kinds, medoids, shown} = data
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
const P = rows * columns, item = new Uint16Array(bytes(data.item).buffer), ratio = new Uint16Array(bytes(data.ratio).buffer)
const byId = (id) => document.getElementById(id)
const made = (tag, text, options = {}) => Object.assign(document.createElement(tag), {textContent: text ?? "", ...options})
const percent = (share) => `${(100 * share).toFixed(share < 0.1 && share > 0 ? 1 : 0)} %`
const ofKind = new Map(kinds.map((kind) => [kind, images.map((im, n) => n).filter((n) => images[n].kind == kind)]))
const left = (n, p) => ratio[n * P + p] > data.limit
let position = data.start, chosen = -1

function place(element, n, x, y, wide, high, width) {
  // part of the photograph of image n, in fractions of it, as a picture of `width` pixels; a strip is several pictures
  const full = width / wide
  Object.assign(element.style, {
    width: `${width}px`, height: `${high * full * data.height / data.width}px`,
    backgroundImage: `url(${images[n].uri})`, backgroundSize: `${data.panels * full}px ${full * data.height / data.width}px`,
    backgroundPosition: `${-x * full}px ${-y * full * data.height / data.width}px`,
  })
  return element
}

function around(p) {
  // three by three positions about p, inside the picture: x, y, width, height in fractions
  const row = Math.floor(p / columns), column = p % columns
  const x = Math.min(Math.max(column - 1, 0), columns - 3), y = Math.min(Math.max(row - 1, 0), rows - 3)
  return [x / columns, y / rows, 3 / columns, 3 / rows]
}

const patch = (n, p, width) => place(made("span", "", {className: "patch"}), n, ...around(p), width)

function whole(n, p, width) {
  const element = place(made("span", "", {className: "whole"}), n, 0, 0, 1, 1, width)
  const box = made("b"), [x, y, w, h] = around(p)
  Object.assign(box.style, {left: `${100 * x}%`, top: `${100 * y}%`, width: `${100 * w}%`, height: `${100 * h}%`})
  element.append(box)
  return element
}

function drawMap() {
  const some = ofKind.get(byId("kind").value)
  const shares = Array.from({length: P}, (_, p) => some.filter((n) => left(n, p)).length / some.length)
  const most = Math.max(...shares, 0.01)
  byId("most").textContent = percent(most)
  byId("told").textContent = `mean ${percent(shares.reduce((a, b) => a + b) / P)}, of ${some.length} images`
  byId("map").replaceChildren(...shares.map((share, p) => {
    const name = `row ${Math.floor(p / columns)}, column ${p % columns}: ${percent(share)} have left`
    const cell = made("button", "", {title: name, ariaLabel: name, ariaPressed: String(p == position)})
    const t = share / most
    cell.style.background = `color-mix(in srgb, #7f0000 ${100 * t}%, #fff7ec)`
    cell.onclick = () => { position = p; chosen = -1; draw() }
    return cell
  }))
}

function drawItems() {
  byId("where").textContent = `Items at row ${Math.floor(position / columns)}, column ${position % columns}`
  const counts = kinds.map((kind) => {
    const found = new Array(size).fill(0)
    for (const n of ofKind.get(kind)) found[item[n * P + position]]++
    return found.map((count) => count / ofKind.get(kind).length)
  })
  const total = Array.from({length: size}, (_, m) => Math.max(...counts.map((found) => found[m])))
  const order = [...total.keys()].filter((m) => total[m] > 0).sort((a, b) => total[b] - total[a])
  byId("items").replaceChildren(...order.map((m) => {
    const button = made("button", "", {ariaPressed: String(m == chosen)})
    button.append(patch(medoids[position][m], position, 72), made("div", `item ${m}`))
    kinds.forEach((kind, k) => {
      if (counts[k][m] == 0) return
      const line = made("div", "", {className: "bar", title: `${kind}: ${percent(counts[k][m])} of its images`})
      const bar = made("i", "", {className: data.anomalous[k] ? "odd" : ""})
      bar.style.width = `${Math.min(100 * counts[k][m], 100)}%`
      line.append(made("span", kind), bar, made("span", percent(counts[k][m])))
      button.append(line)
    })
    button.onclick = () => { chosen = m; drawItems(); drawMembers() }
    return button
  }))
}

function drawMembers() {
  const whose = byId("whose").value
  const fits = (n) => whose == "all" || (whose == "out" ? left(n, position) : images[n].kind == whose)
  const members = images.map((_, n) => n)
    .filter((n) => (chosen < 0 ? left(n, position) : item[n * P + position] == chosen) && fits(n))
    .sort((a, b) => (ratio[a * P + position] - ratio[b * P + position]) * (chosen < 0 ? -1 : 1))
  const what = chosen < 0 ? "Queries that have left the bank here" : `Members of item ${chosen} here`
  byId("which").textContent = `${what}: ${members.length}` + (members.length > shown ? `, ${shown} shown` : "")
  byId("members").replaceChildren(...members.slice(0, shown).map((n) => {
    const figure = made("figure"), told = made("figcaption")
    const far = ratio[n * P + position] / data.limit
    told.append(made("span", `${images[n].kind}, ${images[n].file}, score ${images[n].score.toPrecision(3)}; `))
    told.append(made("span", `${far.toFixed(2)} of the limit`, {className: left(n, position) ? "out" : ""}))
    figure.append(whole(n, position, 150), told)
    return figure
  }))
}

function draw() { drawMap(); drawItems(); drawMembers() }

byId("map").style.gridTemplateColumns = `repeat(${columns}, 1fr)`
byId("map").style.setProperty("--ratio", `${data.width} / ${data.height}`)
byId("kind").append(...kinds.map((kind) => made("option", kind)))
byId("kind").value = data.first
byId("whose").append(made("option", "all", {value: "all"}), made("option", "that have left the bank", {value: "out"}))
byId("whose").append(...kinds.map((kind) => made("option", kind, {value: kind})))
byId("kind").onchange = drawMap
byId("whose").onchange = drawMembers
draw()
