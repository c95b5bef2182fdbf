// Curves on a canvas, as sharp as the screen is and in the colours of the page.

/** @typedef {{ color: string, values: number[], width?: number }} Curve */

const MARGIN = { left: 46, right: 10, top: 8, bottom: 24 };

/** A colour of style.css. @param {string} name */
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** A round number not below x: 1, 2 or 5 times a power of ten. @param {number} x */
function round(x) {
    const power = 10 ** Math.floor(Math.log10(x));
    return power * [1, 2, 5, 10].find((n) => n * power >= x * 0.999);
}

/** @param {number} x */
const short = (x) => (x >= 1000 ? `${x / 1000}k` : `${Number(x.toPrecision(2))}`);

/** The places of the lines across, for values from low to high. */
function ticks(low, high, isLog) {
    if (isLog) {
        const powers = [...Array(Math.ceil(high) - Math.floor(low) + 1).keys()].map(
            (i) => Math.floor(low) + i,
        );
        return powers.filter((p) => p >= low && p <= high);
    }
    const step = round((high - low) / 4);
    const first = Math.ceil(low / step - 1e-9);
    return [...Array(Math.floor(high / step + 1e-9) - first + 1).keys()].map((i) => (first + i) * step);
}

/**
 * Draws curves.
 * @param {HTMLCanvasElement} canvas
 * @param {Curve[]} curves
 * @param {{ isLog?: boolean, low?: number, high?: number, length?: number, label: string, format?: (y: number) => string }} options
 *     low and high: what is seen in any case; length: how many values a whole curve has
 */
export function draw(canvas, curves, { isLog = false, low, high, length = 1, label, format = short }) {
    const ratio = devicePixelRatio || 1;
    const { width, height } = canvas.getBoundingClientRect();
    if (!width || !height) return;
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.font = "12px system-ui, sans-serif";
    const measure = (y) => (isLog ? Math.log10(Math.max(y, 1e-6)) : y);
    const finite = curves.flatMap(({ values }) => values.filter(Number.isFinite)).map(measure);
    const all = [...finite, ...[low, high].filter((y) => y !== undefined).map(measure)];
    let [least, most] = all.length ? [Math.min(...all), Math.max(...all)] : [0, 1];
    if (isLog) [least, most] = [Math.floor(least), Math.ceil(most)];
    if (least === most) most = least + 1;
    const longest = Math.max(length, 2, ...curves.map(({ values }) => values.length));
    const x = (i) => MARGIN.left + (i / (longest - 1)) * (width - MARGIN.left - MARGIN.right);
    const y = (v) =>
        height - MARGIN.bottom - ((v - least) / (most - least)) * (height - MARGIN.top - MARGIN.bottom);

    context.strokeStyle = color("line");
    context.fillStyle = color("faint");
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const tick of ticks(least, most, isLog)) {
        context.beginPath();
        context.moveTo(MARGIN.left, y(tick));
        context.lineTo(width - MARGIN.right, y(tick));
        context.stroke();
        context.fillText(format(isLog ? 10 ** tick : tick), MARGIN.left - 8, y(tick));
    }
    context.textAlign = "center";
    const free = width - MARGIN.right - 16 - context.measureText(label).width;
    for (const tick of ticks(0, longest - 1, false).filter((i) => Number.isInteger(i) && x(i) < free)) {
        context.fillText(short(tick), x(tick), height - 9);
    }
    context.textAlign = "right";
    context.fillText(label, width - MARGIN.right, height - 9);

    context.lineJoin = "round";
    for (const { color: stroke, values, width: thick = 1.5 } of curves) {
        context.strokeStyle = stroke;
        context.lineWidth = thick;
        context.beginPath();
        values.forEach((v, i) => Number.isFinite(v) && context.lineTo(x(i), y(measure(v))));
        context.stroke();
    }
}

/** The colour of the nth run, for light and for dark. @param {number} n */
export function tint(n) {
    const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
    return `hsl(${(168 + n * 137.5) % 360} ${isDark ? "55% 62%" : "65% 34%"})`;
}
