// What a screen reader and a keyboard find, and whether text can be read: faults as texts, none when all is well.
(() => {
  const faults = [];
  const seen = (node) => node.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const describe = (node) => `<${node.tagName.toLowerCase()}${node.id ? ` #${node.id}` : ""}> ${(node.textContent ?? "").trim().slice(0, 30)}`;

  const nameOf = (node) => {
    const labelled = node.getAttribute("aria-labelledby")?.split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
    return (labelled || node.getAttribute("aria-label") || [...(node.labels ?? [])].map((label) => label.textContent).join(" ") || node.innerText || node.getAttribute("alt") || "").trim();
  };
  for (const node of document.querySelectorAll("button, a[href], input, select, textarea, summary, [role], section, nav, dialog[open]")) {
    if (seen(node) && node.getAttribute("role") !== "status" && node.getAttribute("role") !== "alert" && !nameOf(node)) faults.push(`no name: ${describe(node)}`);
  }
  for (const image of document.querySelectorAll("img")) if (!image.hasAttribute("alt")) faults.push(`no alt: ${describe(image)}`);
  for (const { id } of document.querySelectorAll("[id]")) {
    if (document.querySelectorAll(`#${CSS.escape(id)}`).length > 1) faults.push(`two of one id: ${id}`);
  }
  if (!document.documentElement.lang) faults.push("no language");
  if (document.querySelectorAll("main").length !== 1) faults.push("not one main");
  for (const node of document.querySelectorAll("[tabindex]")) if (node.tabIndex > 0) faults.push(`order by tabindex: ${describe(node)}`);
  // Fingers: WCAG 2.2, 2.5.8.
  for (const node of document.querySelectorAll("button, input, select")) {
    const { width, height } = node.getBoundingClientRect();
    if (seen(node) && (width < 24 || height < 24)) faults.push(`too small: ${describe(node)} ${width} × ${height}`);
  }
  if (document.documentElement.scrollWidth > innerWidth) faults.push(`wider than the window: ${document.documentElement.scrollWidth} > ${innerWidth}`);

  // Contrast: WCAG 2.2, 1.4.3. Colours are painted on a canvas, so that each notation is read alike.
  const pen = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const groundOf = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; (text = walker.nextNode()); ) {
    const node = text.parentElement;
    if (!text.data.trim() || !seen(node) || node.closest("script, style, title, .visually-hidden, .skip, option") || node.disabled) continue;
    const style = getComputedStyle(node);
    const isDrawn = node instanceof SVGElement;
    const [light, dark] = [luminance(rgba(isDrawn ? style.fill : style.color)), luminance(groundOf(node))].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    // Drawn text lies on shapes, which have the panel's ground or the accent under them; initials are checked by eye.
    if (isDrawn && node.classList.contains("initial")) continue;
    const isLarge = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) faults.push(`contrast ${ratio.toFixed(2)}: ${describe(node)}`);
  }
  return [...new Set(faults)];
})()
