/** Which of the kernels [name, text] the browser's compiler of WGSL refuses, and why. */
export default async function refused(kernels) {
    const adapter = await navigator.gpu?.requestAdapter();
    if (!adapter) throw new Error("this browser has no WebGPU");
    const device = await adapter.requestDevice();
    const found = await Promise.all(
        kernels.map(async ([name, code]) => {
            device.pushErrorScope("validation");
            const module = device.createShaderModule({ code });
            const scope = device.popErrorScope();
            const { messages } = await module.getCompilationInfo();
            const errors = messages.filter(({ type }) => type === "error");
            const why = errors.map(({ lineNum, message }) => `line ${lineNum}: ${message}`);
            const other = await scope;
            if (other && why.length === 0) why.push(other.message);
            return why.length ? [[name, why.join("\n"), code]] : [];
        }),
    );
    return found.flat();
}
