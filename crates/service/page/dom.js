// Elements from descriptions, and the document brought into line with them.

const SVG = "http://www.w3.org/2000/svg";
const SVG_NAMES = new Set(["svg", "g", "path", "line", "text", "circle", "title", "desc"]);

// An element. Texts become text nodes and never markup; null, undefined and false are left out.
export function h(name, attributes = {}, ...children) {
  const element = SVG_NAMES.has(name) ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, String(value));
  }
  append(element, children);
  return element;
}

function append(parent, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(parent, child);
    else if (child instanceof Node) parent.append(child);
    else if (child !== null && child !== undefined && child !== false) parent.append(String(child));
  }
}

// Makes the content of an element what the nodes describe. What is there already stays, and with it the focus, the
// selection, and whether details are open.
export function show(parent, ...nodes) {
  const described = document.createDocumentFragment();
  append(described, nodes);
  align(parent, described);
}

function align(parent, described) {
  const present = [...parent.childNodes];
  const wanted = [...described.childNodes];
  let place = parent.firstChild;
  for (const node of wanted) {
    const at = present.findIndex((old) => isSame(old, node));
    if (at < 0) {
      parent.insertBefore(node, place);
      continue;
    }
    const [old] = present.splice(at, 1);
    if (old === place) place = place.nextSibling;
    else parent.insertBefore(old, place);
    update(old, node);
  }
  for (const old of present) old.remove();
}

// Whether an old node can become a new one.
function isSame(old, node) {
  return old.nodeType === node.nodeType && old.nodeName === node.nodeName && keyOf(old) === keyOf(node);
}

function keyOf(node) {
  return node instanceof Element ? node.getAttribute("data-key") : null;
}

function update(old, node) {
  if (!(old instanceof Element)) {
    if (old.data !== node.data) old.data = node.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    const isOpened = name === "open" && old.nodeName === "DETAILS";
    if (!node.hasAttribute(name) && !isOpened) old.removeAttribute(name);
  }
  for (const { name, value } of node.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  align(old, node);
}
