/** Runs each case [method, tensors, further arguments] on each device: what it gives, and the gradients of the sum of squares. */
import init, { Tensor, devices } from "/web/dist/neurenix.js";

const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());

async function run(device, [method, inputs, further]) {
    const tensors = inputs.map(
        ({ values, shape, dtype }) =>
            new Tensor(values, shape, { dtype, device, requiresGrad: dtype === "float32" }),
    );
    const [first, ...rest] = tensors;
    const result = first[camel(method)](...rest, ...further);
    const found = [[...(await result.to("float32").data())]];
    if (result.requiresGrad) {
        result.mul(result).sum().backward();
        for (const tensor of tensors) if (tensor.grad) found.push([...(await tensor.grad.data())]);
    }
    return found;
}

export default async function main(cases) {
    await init();
    const found = {};
    for (const device of await devices()) {
        found[device] = [];
        for (const one of cases) {
            found[device].push(await run(device, one).catch((error) => `${one[0]}: ${error}`));
        }
    }
    return found;
}
