// The page. Its parameters are those of its address: ?device=webgpu&optimizer=Lion&lr=0.001&epochs=5&batch=64&seed=0; with
// `start` it begins to train by itself, and with `report=ADDRESS` it also posts what came of it there.
import init, { deviceName, devices } from "neurenix";
import { draw, tint } from "./chart.js";
import { drawingPad, picture } from "./digits.js";
import { Training, loadDigits } from "./training.js";

const query = new URLSearchParams(location.search);
/** @type {(name: string) => any} */
const find = (name) => document.getElementById(name);
const form = find("controls");
const fields = form.elements;
/** @param {number} x */
const percent = (x) => `${(100 * x).toFixed(1)} %`;

/** @typedef {{ name: string, color: string, losses: number[], accuracies: number[], steps: number }} Run */
/** @type {Run[]} */
const runs = [];
/** @type {Training | undefined} */
let training;
/** @type {AbortController | undefined} */
let running;
/** @type {Float32Array | undefined} */
let drawn;
let lr = 0.001;

/** Says something above everything else. */
function notice(text, isError = false) {
    Object.assign(find("notice"), { textContent: text, hidden: !text, className: isError ? "error" : "" });
}

/** Sets the learning rate, and the slider to it unless that is where it comes from. */
function setRate(value, slides = true) {
    lr = value;
    if (slides) fields.lr.value = Math.log10(value);
    find("rate").textContent = String(value);
}

function paint() {
    const epochs = Number(fields.epochs.value);
    const steps = (running && runs.at(-1)?.steps) || Math.ceil(1437 / Number(fields.batch.value));
    const curve = (values) =>
        runs.map((run, i) => ({
            color: run.color,
            values: values(run),
            width: i + 1 === runs.length ? 2 : 1,
        }));
    const length = running || !runs.length ? epochs : 1;
    draw(
        find("losses"),
        curve((run) => run.losses),
        { isLog: true, low: 0.1, high: 2, length: length * steps, label: "step" },
    );
    draw(
        find("accuracies"),
        curve((run) => [NaN, ...run.accuracies]),
        {
            low: 0.8,
            high: 1,
            length: length + 1,
            label: "epoch",
            format: (y) => `${Math.round(100 * y)} %`,
        },
    );
}

function list() {
    find("runs").replaceChildren(
        ...runs
            .map((run) => {
                const row = document.createElement("li");
                const [mark, name, score] = ["i", "span", "b"].map((tag) => document.createElement(tag));
                mark.style.background = run.color;
                name.textContent = run.name;
                score.textContent = run.accuracies.length ? percent(run.accuracies.at(-1)) : "–";
                row.append(mark, name, score);
                return row;
            })
            .reverse(),
    );
}

/** What the network says about what is drawn, and about digits that it has not seen. */
async function look() {
    if (drawn && training) {
        const chances = await training.predict(drawn);
        find("guesses").replaceChildren(
            ...[...chances].map((chance, digit) => {
                const row = document.createElement("li");
                const bar = document.createElement("span");
                bar.style.width = `${100 * chance}%`;
                row.append(String(digit), bar);
                return row;
            }),
        );
    } else {
        const hint = document.createElement("li");
        hint.textContent = training
            ? "Draw a digit, with the mouse or a finger."
            : "Train first, then draw a digit.";
        find("guesses").replaceChildren(hint);
    }
}

async function gallery() {
    const samples = await training.samples(48);
    const chances = await training.predict(Float32Array.from(samples.flatMap(({ image }) => [...image])));
    find("gallery").replaceChildren(
        ...samples.map(({ image, label }, i) => {
            const own = [...chances.slice(i * 10, i * 10 + 10)];
            const said = own.indexOf(Math.max(...own));
            const figure = document.createElement("figure");
            const caption = document.createElement("figcaption");
            caption.textContent = said === label ? String(said) : `${said} ≠ ${label}`;
            caption.className = said === label ? "" : "wrong";
            figure.append(picture(image), caption);
            return figure;
        }),
    );
}

/** The parameters of the form as a plan for a training. */
function plan(digits, entries, names) {
    const kind = fields.device.value;
    return {
        digits,
        device: names.find((name) => name.startsWith(kind)),
        entry: entries.find(({ name }) => name === fields.optimizer.value),
        hyper: { lr },
        epochs: Number(fields.epochs.value),
        batch: Number(fields.batch.value),
        seed: Number(query.get("seed") ?? 0),
    };
}

/** Trains to the end, or until it is stopped; returns what came of it. */
async function train(wanted) {
    running = new AbortController();
    find("start").textContent = "Stop";
    training?.free();
    training = undefined;
    const run = {
        name: `${wanted.entry.name} ${wanted.hyper.lr} ${wanted.device === "cpu" ? "CPU" : "WebGPU"}`,
        color: tint(runs.length),
        losses: [],
        accuracies: [],
        steps: 1,
    };
    const begin = performance.now();
    try {
        training = new Training(wanted);
        run.steps = training.steps;
        runs.push(run);
        for await (const { epoch, losses, time, accuracy } of training.run(running.signal)) {
            run.losses.push(...losses);
            find("epoch").textContent = `${epoch} of ${wanted.epochs}`;
            find("loss").textContent = losses.at(-1).toPrecision(3);
            find("time").textContent = `${time.toFixed(1)} ms`;
            if (accuracy !== undefined) {
                run.accuracies.push(accuracy);
                find("accuracy").textContent = percent(accuracy);
                list();
                await Promise.all([gallery(), look()]);
            }
            paint();
        }
    } finally {
        running = undefined;
        find("start").textContent = "Train";
        paint();
    }
    return { ...run, device: wanted.device, seconds: (performance.now() - begin) / 1000 };
}

/** Posts a result to whoever asked for it. */
const report = (result) =>
    query.has("report") && fetch(query.get("report"), { method: "POST", body: JSON.stringify(result) });

async function main() {
    await init();
    const [names, { optimizers }, digits] = await Promise.all([
        devices(),
        fetch(new URL("../../web/dist/optimizers.json", import.meta.url)).then((answer) => answer.json()),
        loadDigits(new URL("digits.bin", import.meta.url)),
    ]);
    const gpu = names.find((name) => name.startsWith("webgpu"));
    if (gpu) {
        const [radio] = fields.device;
        Object.assign(radio, { disabled: false, checked: true });
        radio.parentElement.title = deviceName(gpu);
    } else {
        notice("This browser gives no WebGPU device, so that the network is trained on the CPU.");
    }
    fields.optimizer.append(...optimizers.map(({ name }) => new Option(name)));
    fields.optimizer.value = "AdamW";

    for (const [name, value] of query) {
        const isMissing = name === "device" && value === "webgpu" && !gpu;
        if (name !== "lr" && fields[name] && !isMissing) fields[name].value = value;
    }
    const choose = () => {
        const entry = optimizers.find(({ name }) => name === fields.optimizer.value);
        find("summary").textContent = entry.summary;
        setRate(entry.hyper.find(({ name }) => name === "lr").value);
    };
    choose();
    if (query.has("lr")) setRate(Number(query.get("lr")));

    const wipe = drawingPad(find("pad"), (image) => {
        drawn = image;
        look();
    });
    find("wipe").addEventListener("click", wipe);
    find("clear").addEventListener("click", () => {
        runs.splice(0, running ? runs.length - 1 : runs.length);
        list();
        paint();
    });
    fields.optimizer.addEventListener("change", choose);
    fields.lr.addEventListener("input", () =>
        setRate(Number((10 ** Number(fields.lr.value)).toPrecision(2)), false),
    );
    addEventListener("resize", paint);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
    const begin = () => train(plan(digits, optimizers, names));
    form.addEventListener("submit", (event) => {
        event.preventDefault();
        if (running) running.abort();
        else begin().catch((error) => notice(String(error), true));
    });
    find("start").disabled = false;
    paint();
    if (query.has("start") || query.has("report")) await report({ result: await begin() });
}

main().catch((error) => {
    notice(String(error), true);
    report({ error: String(error?.stack ?? error) });
});
