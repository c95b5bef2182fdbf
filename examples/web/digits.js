// Digits that one can see, and a pad to draw one.

/**
 * Shows an image of 8 by 8 numbers from 0 to 1.
 * @param {Float32Array} image
 */
export function picture(image) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [8, 8];
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(8, 8);
    image.forEach((value, i) =>
        pixels.data.set([0, 0, 0].fill(255 - Math.round(value * 235)).concat(255), i * 4),
    );
    context.putImageData(pixels, 0, 0);
    return canvas;
}

/**
 * Calls `changed(image)` while somebody draws; returns a function that wipes the pad. As in the data, each of the 8 by 8
 * numbers says how much of a square is ink, and the drawing is moved and scaled to fill the height.
 * @param {HTMLCanvasElement} canvas
 * @param {(image: Float32Array | undefined) => void} changed
 */
export function drawingPad(canvas, changed) {
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const size = canvas.width;
    /** @type {[number, number] | undefined} */
    let last;
    const wipe = () => {
        context.fillStyle = "white";
        context.fillRect(0, 0, size, size);
        changed(undefined);
    };
    /** @type {(event: PointerEvent) => [number, number]} */
    const place = ({ offsetX, offsetY }) => [
        (offsetX / canvas.clientWidth) * size,
        (offsetY / canvas.clientHeight) * size,
    ];
    canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        last = place(event);
    });
    canvas.addEventListener("pointermove", (event) => {
        if (!last) return;
        const now = place(event);
        Object.assign(context, { lineWidth: size / 10, lineCap: "round", strokeStyle: "black" });
        context.beginPath();
        context.moveTo(...last);
        context.lineTo(...now);
        context.stroke();
        last = now;
        changed(read(context, size));
    });
    canvas.addEventListener("pointerup", () => (last = undefined));
    wipe();
    return wipe;
}

/** The drawing as 8 by 8 numbers from 0 to 1; undefined if there is none. */
function read(context, size) {
    const { data } = context.getImageData(0, 0, size, size);
    const ink = (x, y) =>
        x < 0 || y < 0 || x >= size || y >= size
            ? 0
            : 1 - data[(Math.floor(y) * size + Math.floor(x)) * 4] / 255;
    let [left, right, top, bottom] = [size, 0, size, 0];
    for (let y = 0; y < size; y++) {
        for (let x = 0; x < size; x++) {
            if (ink(x, y) < 0.5) continue;
            [left, right] = [Math.min(left, x), Math.max(right, x)];
            [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
        }
    }
    if (right < left) return undefined;
    const cell = Math.max(bottom - top, right - left, size / 4) / 8;
    const [startX, startY] = [(left + right) / 2 - cell * 4, (top + bottom) / 2 - cell * 4];
    const image = new Float32Array(64);
    const fine = 6;
    for (let i = 0; i < 64; i++) {
        let sum = 0;
        for (let k = 0; k < fine * fine; k++) {
            const x = startX + ((i % 8) + (k % fine) / fine) * cell;
            const y = startY + (Math.floor(i / 8) + Math.floor(k / fine) / fine) * cell;
            sum += ink(x, y);
        }
        image[i] = sum / (fine * fine);
    }
    return image;
}
