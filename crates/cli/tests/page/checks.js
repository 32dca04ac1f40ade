// What must hold of every view of the page, found out in the browser. Each function runs there, and returns what is wrong.

// Elements that are wider than the screen, and texts and pictures that lie on each other.
export function misplaced() {
  const found = [];
  const name = (element) => `${element.tagName.toLowerCase()}${element.className?.baseVal ?? (element.className && `.${element.className}`)} “${element.textContent.trim().slice(0, 40)}”`;
  const isSeen = (element) => element.checkVisibility({ visibilityProperty: true });
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) found.push(`the page is ${document.documentElement.scrollWidth} wide, and the screen ${width}`);
  const clipped = (element) => {
    for (let one = element; one; one = one.parentElement) if (getComputedStyle(one).clipPath !== "none") return true;
    return false;
  };
  const boxes = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { parentElement } = walker.currentNode;
    if (!walker.currentNode.data.trim() || !isSeen(parentElement) || clipped(parentElement)) continue;
    const range = document.createRange();
    range.selectNodeContents(walker.currentNode);
    for (const box of range.getClientRects()) boxes.push([parentElement, box]);
  }
  for (const element of document.querySelectorAll("img, progress, button, circle")) if (isSeen(element)) boxes.push([element, element.getBoundingClientRect()]);
  for (const element of document.body.querySelectorAll("*")) {
    if (!isSeen(element) || clipped(element)) continue;
    const box = element.getBoundingClientRect();
    if (box.width > 0 && (box.left < -0.5 || box.right > width + 0.5)) found.push(`${name(element)} reaches from ${box.left} to ${box.right} of ${width}`);
    if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0 && getComputedStyle(element).display !== "inline") found.push(`${name(element)} is wider than its room`);
  }
  for (const text of document.querySelectorAll("svg text, svg circle")) {
    const [box, room] = [text.getBoundingClientRect(), text.closest("svg").getBoundingClientRect()];
    if (box.left < room.left || box.right > room.right || box.bottom > room.bottom) found.push(`${name(text)} is cut off`);
  }
  boxes.forEach(([one, a], at) => {
    for (const [other, b] of boxes.slice(at + 1)) {
      if (one.contains(other) || other.contains(one)) continue;
      // Lines of text have some room above and below that is part of their boxes.
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (across > 1 && down > 0.25 * Math.min(a.height, b.height)) found.push(`${name(one)} lies on ${name(other)}`);
    }
  });
  return found;
}

// Texts whose colour is too near to that of their background, by the formula of WCAG 2.
export function faint() {
  const parse = (color) => {
    const parts = color.match(/[\d.]+/g).map(Number);
    return { rgb: parts.slice(0, 3), alpha: parts[3] ?? 1 };
  };
  const over = (top, below) => top.rgb.map((value, at) => value * top.alpha + below[at] * (1 - top.alpha));
  const background = (element) => {
    if (!element) return [255, 255, 255];
    const own = parse(getComputedStyle(element).backgroundColor);
    return own.alpha === 1 ? own.rgb : over(own, background(element.parentElement));
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => (Math.max(light(one), light(other)) + 0.05) / (Math.min(light(one), light(other)) + 0.05);
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const behind = [background(element)];
    // The figures of a curve may lie on the area below it.
    if (element.closest("svg")) behind.push(parse(getComputedStyle(element.closest("svg").querySelector(".area")).fill).rgb);
    for (const below of behind) {
      const color = over(parse(element.closest("svg") ? style.fill : style.color), below);
      const value = ratio(color, below);
      texts += 1;
      if (value < 4.5) found.push(`“${walker.currentNode.data.trim().slice(0, 40)}” has ${value.toFixed(2)}`);
    }
  }
  return texts > 20 ? found : ["there is next to no text"];
}

// What a reader of the screen needs and does not find.
export function unnamed() {
  const found = [];
  const one = (selector, many = 1) => {
    const number = document.querySelectorAll(selector).length;
    if (number !== many) found.push(`${number} of ${selector}`);
  };
  ["main", "nav[aria-label]", "body > header", "body > footer", "h1", "html[lang]", "[aria-current=page]"].forEach((selector) => one(selector));
  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3")) {
    const next = Number(heading.tagName[1]);
    if (next > level + 1) found.push(`“${heading.textContent}” skips a level`);
    level = next;
  }
  for (const table of document.querySelectorAll("table")) if (!table.caption?.textContent) found.push("a table has no caption");
  for (const section of document.querySelectorAll("section")) {
    const by = section.getAttribute("aria-labelledby");
    if (!section.ariaLabel && !document.getElementById(by)?.textContent) found.push("a section has no name");
  }
  for (const element of document.querySelectorAll("progress, svg[role]")) if (!element.ariaLabel) found.push(`a ${element.tagName} has no name`);
  for (const image of document.images) if (image.alt === null) found.push("an image has no alt");
  return found;
}

// What can be used, with a mouse or without.
export function usable() {
  const all = [...document.querySelectorAll("a[href], button, summary, input, select")];
  return all.filter((element) => element.checkVisibility()).map((element) => element.textContent.trim());
}

// What has the focus, and whether that is seen; null at the end of the page.
export function focused() {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const style = getComputedStyle(element);
  return { text: element.textContent.trim(), isSeen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 };
}
