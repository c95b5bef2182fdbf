/**
 * What a page says after it has trained, in a browser with or without WebGPU, and about a line that is drawn from one place
 * to another: the bars of the ten digits.
 */
export default async function main({ page, webgpu, from, to }) {
    const frame = document.createElement("iframe");
    Object.assign(frame, { width: 1200, height: 1600 });
    const { promise, resolve } = Promise.withResolvers();
    document.body.append(frame);
    frame.src = `${page}&report=`;
    // Before its scripts run, its window may lose WebGPU, and tells here what it would report.
    for (const old = frame.contentDocument; frame.contentDocument === old; )
        await new Promise((done) => setTimeout(done));
    const { contentWindow: inside } = frame;
    if (!webgpu) Object.defineProperty(inside.navigator, "gpu", { value: undefined });
    const { fetch } = inside;
    inside.fetch = (where, options) =>
        options?.method === "POST" ? resolve(JSON.parse(options.body)) : fetch(where, options);
    const { result, error } = await promise;
    if (error) throw new Error(error);

    const find = (name) => inside.document.getElementById(name);
    const pad = find("pad");
    pad.setPointerCapture = () => {}; // there is no pointer
    const { left, top, width, height } = pad.getBoundingClientRect();
    const point = (kind, [x, y]) =>
        pad.dispatchEvent(
            new inside.PointerEvent(kind, {
                clientX: left + x * width,
                clientY: top + y * height,
                bubbles: true,
            }),
        );
    point("pointerdown", from);
    for (let i = 1; i <= 20; i++)
        point(
            "pointermove",
            from.map((a, k) => a + ((to[k] - a) * i) / 20),
        );
    point("pointerup", to);
    while (find("guesses").children.length < 10) await new Promise((done) => setTimeout(done, 10));
    await new Promise((done) => setTimeout(done, 200));
    const bars = [...find("guesses").querySelectorAll("span")].map((bar) => parseFloat(bar.style.width));
    const digits = find("gallery").children.length;
    return { ...result, notice: find("notice").textContent, bars, digits };
}
