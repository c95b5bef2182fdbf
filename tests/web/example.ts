// Uses the package as a program in TypeScript does; compiled by the tests, not run.
import init, { Optimizer, Tensor, devices, manualSeed, noGrad, tidy } from "neurenix";
import type { OptimizerEntry } from "neurenix";

await init();
const [device]: string[] = await devices();
manualSeed(0);
const w: Tensor = Tensor.randn([2, 3], { device, requiresGrad: true });
const x = new Tensor(new Float32Array(6), [2, 3], { device });

const { optimizers }: { optimizers: OptimizerEntry[] } = await (await fetch("optimizers.json")).json();
const entry = optimizers.find(({ name }) => name === "AdamW");
if (!entry) throw new Error("there is no AdamW");
const optimizer = new Optimizer(entry, [w], { lr: 0.01, betas: [0.9, 0.99] });

const loss: Tensor = tidy(() => {
    const loss = w.sub(x).square().mean();
    loss.backward();
    return loss.detach();
});
if (entry.reduces) await optimizer.stepAsync();
else optimizer.step();
optimizer.set("lr", 0.005);
optimizer.zeroGrad();

const value: number = await loss.item();
const size: number = noGrad(() => w.abs().sum().size);
const gradient: Tensor | undefined = w.grad;
console.log(value, size, gradient?.shape, await w.data());
w.free();
