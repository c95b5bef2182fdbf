/** What is thrown by wrong calls: [kind of error, text]. */
import init, { Optimizer, Tensor, devices, tidy } from "/web/dist/neurenix.js";

export default async function main() {
    await init();
    const [device] = await devices();
    const { optimizers } = await (await fetch("/web/dist/optimizers.json")).json();
    const [adamw, rmsprop] = ["AdamW", "RMSprop"].map((wanted) =>
        optimizers.find(({ name }) => name === wanted),
    );
    const w = Tensor.zeros([2, 3], { requiresGrad: true });
    const calls = {
        shapes: () => w.add(Tensor.ones([4])),
        sizes: () => new Tensor([1, 2, 3], [2, 2]),
        dtype: () => Tensor.zeros([2], { dtype: "float7" }),
        device: () => Tensor.zeros([2], { device: "tpu" }),
        devices: () => w.add(Tensor.ones([3], { device })),
        option: () => Tensor.zeros([2], { grad: true }),
        operand: () => w.mul("two"),
        twice: () => {
            const loss = w.square().sum();
            loss.backward();
            loss.backward();
        },
        freed: () => {
            let inside;
            tidy(() => void (inside = w.add(1)));
            inside.add(1);
        },
        bound: () => new Optimizer(adamw, [w], { betas: [0.9, 1] }),
        hyper: () => new Optimizer(adamw, [w], { rate: 1 }),
        unread: () => new Optimizer(rmsprop, [w], { momentum: 0.9 }),
        rule: () =>
            new Optimizer({ ...adamw, forms: { vector: { rule: "operands what", states: [] } } }, [w]),
        float64: () => Tensor.zeros([2], { dtype: "float64", device }),
        later: () => tidy(async () => w.add(1)),
        label: async () =>
            Tensor.zeros([1, 3], { device })
                .crossEntropy(new Tensor(new BigInt64Array([7n])).to(device))
                .item(),
    };
    const found = {};
    for (const [name, call] of Object.entries(calls)) {
        try {
            await call();
            found[name] = ["nothing", ""];
        } catch (error) {
            found[name] = [error?.constructor?.name ?? typeof error, String(error?.message ?? error)];
        }
    }
    const [ones, sum] = [Tensor.ones([2], { device }), Tensor.ones([2], { device }).sum()];
    const reading = [ones.data(), sum.item()];
    ones.free(); // while it is read
    found.reading = ["numbers", JSON.stringify((await Promise.all(reading)).map((x) => (x.length ? [...x] : x)))];
    found.alive = ["number", String(await Tensor.ones([3], { device }).sum().item())];
    return found;
}
