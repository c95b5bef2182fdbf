// The digits, the network, and the loop that trains it. Every random number comes from the engine's generator, so that the
// same seed gives the same network and the same order of digits on every device, and in Python.
import { Optimizer, Tensor, manualSeed, noGrad, tidy } from "neurenix";

const LAYERS = [64, 128, 64, 10];
const HELD_OUT = 360;
const TOGETHER = 8; // steps between two looks at the losses: each look waits for the GPU

/** @typedef {{ images: Float32Array, labels: BigInt64Array, count: number }} Digits */

/**
 * The digits of a file: for each 64 bytes, brightness from 0 to 16 in 8 rows, and one byte that says which it is.
 * @param {string | URL} address
 * @returns {Promise<Digits>}
 */
export async function loadDigits(address) {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`${address} is not there; "make web" makes it`);
    const bytes = new Uint8Array(await answer.arrayBuffer());
    const count = bytes.length / 65;
    const [images, labels] = [new Float32Array(count * 64), new BigInt64Array(count)];
    for (let i = 0; i < count; i++) {
        for (let k = 0; k < 64; k++) images[i * 64 + k] = bytes[i * 65 + k] / 16;
        labels[i] = BigInt(bytes[i * 65 + 64]);
    }
    return { images, labels, count };
}

/** Linear layers with ReLU between them, initialised as PyTorch's. */
class Network {
    /** @param {string} device */
    constructor(device) {
        this.parameters = LAYERS.slice(1).flatMap((outputs, i) => {
            const bound = 1 / Math.sqrt(LAYERS[i]);
            return [[outputs, LAYERS[i]], [outputs]].map((shape) => {
                const parameter = tidy(() =>
                    Tensor.rand(shape)
                        .mul(2 * bound)
                        .sub(bound)
                        .to(device),
                );
                parameter.requiresGrad = true;
                return parameter;
            });
        });
    }

    /**
     * The logits of digits (batch, 64).
     * @param {Tensor} x
     */
    forward(x) {
        const [a, b, c, d, e, f] = this.parameters;
        return x.linear(a, b, "relu").linear(c, d, "relu").linear(e, f);
    }
}

/**
 * A training: `run` goes through it, `predict` may be called at any time.
 *
 * @typedef {object} Plan
 * @property {Digits} digits
 * @property {string} device - "webgpu:0" or "cpu"
 * @property {import("neurenix").OptimizerEntry} entry - of optimizers.json
 * @property {Record<string, number>} hyper - what differs from the entry's
 * @property {number} epochs
 * @property {number} batch
 * @property {number} [seed]
 */
export class Training {
    /** @param {Plan} plan */
    constructor(plan) {
        const { digits, device, entry, hyper, seed = 0 } = plan;
        this.plan = plan;
        manualSeed(seed);
        this.order = Tensor.randperm(digits.count);
        this.network = new Network(device);
        this.optimizer = new Optimizer(entry, this.network.parameters, hyper);
        this.count = digits.count - HELD_OUT;
        this.data = tidy(() => {
            const images = new Tensor(digits.images, [digits.count, 64]);
            const labels = new Tensor(digits.labels);
            const [held, rest] = [this.order.slice(0, 0, HELD_OUT), this.order.slice(0, HELD_OUT)];
            return {
                heldOut: images.indexSelect(0, held).to(device),
                heldOutLabels: labels.indexSelect(0, held).to(device),
                images: images.indexSelect(0, rest).to(device),
                labels: labels.indexSelect(0, rest).to(device),
            };
        });
    }

    /** Steps in an epoch. */
    get steps() {
        return Math.ceil(this.count / this.plan.batch);
    }

    /**
     * Trains; yields what is new every few steps. Stops between two of them where `signal` says so.
     * @param {AbortSignal} [signal]
     */
    async *run(signal) {
        for (let epoch = 1; epoch <= this.plan.epochs; epoch++) {
            const order = Tensor.randperm(this.count).to(this.plan.device);
            /** @type {Tensor[]} */
            let waiting = [];
            let start = performance.now();
            for (let step = 0; step < this.steps; step++) {
                waiting.push(await this.step(order, step));
                const isLast = step + 1 === this.steps;
                if (waiting.length < TOGETHER && !isLast) continue;
                const stacked = tidy(() => Tensor.stack(waiting));
                const losses = [.../** @type {Float32Array} */ (await stacked.data())];
                stacked.free();
                const time = (performance.now() - start) / waiting.length;
                const accuracy = isLast ? await this.accuracy() : undefined;
                yield { epoch, losses, time, accuracy };
                waiting.forEach((loss) => loss.free());
                waiting = [];
                if (signal?.aborted) return;
                await new Promise((done) => setTimeout(done)); // lets the page paint
                start = performance.now();
            }
            order.free();
        }
    }

    /**
     * One step; its loss stays on the device.
     * @param {Tensor} order
     * @param {number} step
     */
    async step(order, step) {
        const loss = tidy(() => {
            const { batch } = this.plan;
            const chosen = order.slice(0, step * batch, Math.min((step + 1) * batch, this.count));
            const [x, labels] = [this.data.images, this.data.labels].map((part) =>
                part.indexSelect(0, chosen),
            );
            const loss = this.network.forward(x).crossEntropy(labels);
            loss.backward();
            return loss.detach();
        });
        if (this.plan.entry.reduces) await this.optimizer.stepAsync();
        else this.optimizer.step();
        this.optimizer.zeroGrad();
        return loss;
    }

    /** The share of held-out digits that are right. */
    async accuracy() {
        const right = tidy(() =>
            noGrad(() => {
                const said = this.network.forward(this.data.heldOut).argmax(1);
                return said.eq(this.data.heldOutLabels).to("float32").mean();
            }),
        );
        const share = await right.item();
        right.free();
        return share;
    }

    /**
     * Probabilities of the ten digits for images of 64 numbers from 0 to 1, one after the other.
     * @param {Float32Array} images
     * @returns {Promise<Float32Array>}
     */
    async predict(images) {
        const said = tidy(() =>
            noGrad(() => {
                const x = new Tensor(images, [images.length / 64, 64]).to(this.plan.device);
                return this.network.forward(x).softmax(1);
            }),
        );
        const found = /** @type {Float32Array} */ (await said.data());
        said.free();
        return found;
    }

    /**
     * Some held-out digits with their labels, for a look at them.
     * @param {number} count
     */
    async samples(count) {
        const places = [...(await this.order.slice(0, 0, count).data())].map(Number);
        const { images, labels } = this.plan.digits;
        return places.map((i) => ({ image: images.slice(i * 64, i * 64 + 64), label: Number(labels[i]) }));
    }

    /** Gives the memory back. */
    free() {
        const { order, data, network, optimizer } = this;
        [order, ...Object.values(data), ...network.parameters, optimizer].forEach((one) => one.free());
    }
}
