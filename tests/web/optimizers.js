/** The parameters after steps of every optimizer of the package, on each device. */
import init, { Optimizer, Tensor, devices } from "/web/dist/neurenix.js";

async function run(device, entry, { start, gradients, rates }) {
    const tensor = ({ values, shape }, requiresGrad = false) =>
        new Tensor(new Float32Array(values), shape, { device, requiresGrad });
    const parameters = start.map((array) => tensor(array, true));
    const optimizer = new Optimizer(entry, parameters);
    for (const [step, rate] of rates.entries()) {
        parameters.forEach((parameter, i) => (parameter.grad = tensor(gradients[step][i])));
        optimizer.set("lr", rate);
        await optimizer.stepAsync();
    }
    return Promise.all(parameters.map(async (parameter) => [...(await parameter.data())]));
}

export default async function main(given) {
    await init();
    const { optimizers } = await (await fetch("/web/dist/optimizers.json")).json();
    const found = {};
    for (const device of await devices()) {
        found[device] = {};
        for (const entry of optimizers) {
            found[device][entry.name] = await run(device, entry, given).catch(String);
        }
    }
    return found;
}
