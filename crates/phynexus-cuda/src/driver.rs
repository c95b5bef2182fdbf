//! The functions of the driver, by the names that CUDA and HIP have for them.

use crate::libraries::load;
use libloading::{Library, Symbol};
use phynexus_core::{DeviceType, Error, Result};
use phynexus_formula::print::Dialect;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

/// The two families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// NVIDIA.
    Cuda,
    /// AMD.
    Rocm,
}

impl Platform {
    /// The kind of its devices.
    pub fn kind(self) -> DeviceType {
        match self {
            Platform::Cuda => DeviceType::Cuda,
            Platform::Rocm => DeviceType::Rocm,
        }
    }
    /// The language of its kernels.
    pub fn dialect(self) -> Dialect {
        match self {
            Platform::Cuda => Dialect::Cuda,
            Platform::Rocm => Dialect::Hip,
        }
    }
    fn pick<T>(self, cuda: T, rocm: T) -> T {
        if self == Platform::Cuda { cuda } else { rocm }
    }
    /// Its driver, if it is there.
    pub(crate) fn driver(self) -> Option<&'static Driver> {
        static DRIVERS: [OnceLock<Option<Driver>>; 2] = [const { OnceLock::new() }; 2];
        DRIVERS[self as usize].get_or_init(|| Driver::load(self)).as_ref()
    }
}

/// Streams, modules and functions are pointers that only the driver follows.
pub(crate) type Opaque = *mut c_void;
type Status = c_int;

/// The loaded driver.
#[derive(Debug)]
pub(crate) struct Driver {
    pub platform: Platform,
    functions: Functions,
    library: Library,
}

macro_rules! functions {
    ($($name:ident: $cuda:literal, $hip:literal, ($($argument:ty),*);)*) => {
        #[derive(Debug)]
        struct Functions { $($name: unsafe extern "C" fn($($argument),*) -> Status,)* }

        impl Functions {
            fn find(library: &Library, platform: Platform) -> Option<Functions> {
                // SAFETY: these are the signatures that both vendors document.
                unsafe {
                    Some(Functions {
                        $($name: {
                            let name = platform.pick(concat!($cuda, "\0"), concat!($hip, "\0"));
                            let symbol: Symbol<'_, unsafe extern "C" fn($($argument),*) -> Status> =
                                library.get(name.as_bytes()).ok()?;
                            *symbol
                        },)*
                    })
                }
            }
        }
    };
}

functions! {
    init: "cuInit", "hipInit", (c_uint);
    version: "cuDriverGetVersion", "hipDriverGetVersion", (*mut c_int);
    count: "cuDeviceGetCount", "hipGetDeviceCount", (*mut c_int);
    get: "cuDeviceGet", "hipDeviceGet", (*mut c_int, c_int);
    name: "cuDeviceGetName", "hipDeviceGetName", (*mut c_char, c_int, c_int);
    total: "cuDeviceTotalMem_v2", "hipDeviceTotalMem", (*mut usize, c_int);
    attribute: "cuDeviceGetAttribute", "hipDeviceGetAttribute", (*mut c_int, c_int, c_int);
    retain: "cuDevicePrimaryCtxRetain", "hipDevicePrimaryCtxRetain", (*mut Opaque, c_int);
    current: "cuCtxGetCurrent", "hipCtxGetCurrent", (*mut Opaque);
    enter: "cuCtxSetCurrent", "hipCtxSetCurrent", (Opaque);
    stream: "cuStreamCreate", "hipStreamCreateWithFlags", (*mut Opaque, c_uint);
    wait: "cuStreamSynchronize", "hipStreamSynchronize", (Opaque);
    wait_for_all: "cuCtxSynchronize", "hipDeviceSynchronize", ();
    event: "cuEventCreate", "hipEventCreateWithFlags", (*mut Opaque, c_uint);
    record: "cuEventRecord", "hipEventRecord", (Opaque, Opaque);
    follow: "cuStreamWaitEvent", "hipStreamWaitEvent", (Opaque, Opaque, c_uint);
    forget: "cuEventDestroy_v2", "hipEventDestroy", (Opaque);
    allocate: "cuMemAlloc_v2", "hipMalloc", (*mut u64, usize);
    free: "cuMemFree_v2", "hipFree", (u64);
    pointer: "cuPointerGetAttribute", "hipPointerGetAttribute", (*mut c_void, c_int, u64);
    upload: "cuMemcpyHtoDAsync_v2", "hipMemcpyHtoDAsync", (u64, *const c_void, usize, Opaque);
    download: "cuMemcpyDtoHAsync_v2", "hipMemcpyDtoHAsync", (*mut c_void, u64, usize, Opaque);
    module: "cuModuleLoadData", "hipModuleLoadData", (*mut Opaque, *const c_void);
    function: "cuModuleGetFunction", "hipModuleGetFunction", (*mut Opaque, Opaque, *const c_char);
    launch: "cuLaunchKernel", "hipModuleLaunchKernel",
        (Opaque, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Opaque, *mut Opaque, *mut Opaque);
}

/// What CUDA says in the child of a process that has used it.
const NOT_INITIALIZED: Status = 3;
/// What both call "no memory".
const OUT_OF_MEMORY: Status = 2;
/// What CUDA says of kernels that it cannot load: an invalid image, none for this GPU, and text that is wrong or too new.
const UNKNOWN_IMAGE: [Status; 4] = [200, 209, 218, 222];
/// A stream that does not wait for the default one.
const NON_BLOCKING: c_uint = 1;
/// An event that tells no time.
const UNTIMED: c_uint = 2;
/// The attribute that only memory known to CUDA has.
const MEMORY_TYPE: c_int = 2;
/// Where CUDA keeps the two numbers of a processor's generation.
const MAJOR: c_int = 75;
const MINOR: c_int = 76;

impl Driver {
    fn load(platform: Platform) -> Option<Driver> {
        let names: &[&str] = match (platform, cfg!(windows)) {
            (Platform::Cuda, false) => &["libcuda.so.1"],
            (Platform::Cuda, true) => &["nvcuda.dll"],
            (Platform::Rocm, false) => {
                &["libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5", "/opt/rocm/lib/libamdhip64.so"]
            }
            (Platform::Rocm, true) => &["amdhip64_7.dll", "amdhip64_6.dll"],
        };
        let library = load(names)?;
        let functions = Functions::find(&library, platform)?;
        // SAFETY: the first call of all, as documented.
        (unsafe { (functions.init)(0) } == 0).then_some(Driver { platform, functions, library })
    }

    fn check(&self, what: &str, status: Status) -> Result<()> {
        match status {
            0 => Ok(()),
            NOT_INITIALIZED if self.platform == Platform::Cuda => Err(Error::Runtime(
                "a forked process cannot use the GPU that its parent has used: start it by \"spawn\", or fork before".into(),
            )),
            OUT_OF_MEMORY => {
                Err(Error::Memory(format!("{:?} {what}: the GPU is out of memory", self.platform)))
            }
            code => Err(Error::Runtime(format!(
                "{:?} {what} failed with error {code} of the driver; if it happens again, start the program anew",
                self.platform
            ))),
        }
    }

    pub fn count(&self) -> usize {
        let mut count = 0;
        // SAFETY: writes one integer.
        let status = unsafe { (self.functions.count)(&mut count) };
        if status == 0 { count.max(0) as usize } else { 0 }
    }

    /// Such as 13000 for CUDA 13.0.
    pub fn version(&self) -> c_int {
        let mut version = 0;
        // SAFETY: writes one integer.
        let status = unsafe { (self.functions.version)(&mut version) };
        if status == 0 { version } else { 0 }
    }

    /// Whether the libraries of CUDA 13 are too new for it or for one of its GPUs: they begin with generation 7.5.
    pub fn is_old(&self) -> bool {
        let generation = |index| self.device(index).and_then(|device| self.generation(device));
        self.version() < 13_000 || (0..self.count()).any(|index| generation(index).is_ok_and(|g| g < 75))
    }

    fn device(&self, index: usize) -> Result<c_int> {
        let mut device = 0;
        // SAFETY: writes one integer.
        self.check("device", unsafe { (self.functions.get)(&mut device, index as c_int) })?;
        Ok(device)
    }

    fn generation(&self, device: c_int) -> Result<c_int> {
        let (mut major, mut minor, read) = (0, 0, self.functions.attribute);
        // SAFETY: each writes one integer.
        unsafe {
            self.check("generation", read(&mut major, MAJOR, device))?;
            self.check("generation", read(&mut minor, MINOR, device))?;
        }
        Ok(10 * major + minor)
    }

    /// A processor of AMD by its compiler's name, "gfx90a:sramecc+:xnack-": HIP 6 has moved it among the properties, and given
    /// the function a new name.
    fn architecture(&self, device: c_int) -> Result<String> {
        type Properties = unsafe extern "C" fn(*mut u64, c_int) -> Status;
        let mut properties = [0u64; 512]; // 1472 bytes are written
        // SAFETY: the signature that the vendor documents, and room for all that it writes.
        let (status, at) = unsafe {
            match self.library.get::<Properties>(b"hipGetDevicePropertiesR0600\0") {
                Ok(read) => (read(properties.as_mut_ptr(), device), 1160),
                Err(_) => match self.library.get::<Properties>(b"hipGetDeviceProperties\0") {
                    Ok(read) => (read(properties.as_mut_ptr(), device), 396),
                    Err(_) => return Ok(String::new()),
                },
            }
        };
        self.check("properties", status)?;
        let bytes = properties.iter().flat_map(|word| word.to_ne_bytes()).skip(at).take(255);
        let name: Vec<u8> = bytes.take_while(|&byte| byte != 0).collect();
        Ok(String::from_utf8_lossy(&name).into_owned())
    }

    /// Number, name and bytes of memory of a device, and what kernels are compiled for.
    pub fn describe(&self, index: usize) -> Result<(c_int, String, usize, String)> {
        let (device, mut total, mut name) = (self.device(index)?, 0, [0 as c_char; 256]);
        let f = &self.functions;
        // SAFETY: each writes one value, and the name as many bytes as there is room.
        unsafe {
            self.check("name", (f.name)(name.as_mut_ptr(), name.len() as c_int, device))?;
            self.check("memory", (f.total)(&mut total, device))?;
        }
        name[255] = 0;
        // SAFETY: the array ends with a zero.
        let text = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
        let target = match self.platform {
            Platform::Rocm => self.architecture(device)?,
            Platform::Cuda => format!("sm_{}", self.generation(device)?),
        };
        Ok((device, text, total, target))
    }

    /// The context that all libraries of the process share.
    pub fn open(&self, device: c_int) -> Result<Opaque> {
        let mut context = std::ptr::null_mut();
        // SAFETY: writes one pointer.
        self.check("opening", unsafe { (self.functions.retain)(&mut context, device) })?;
        Ok(context)
    }

    /// The context that this thread's calls go to; null if there is none.
    pub fn current(&self) -> Result<Opaque> {
        let mut context = std::ptr::null_mut();
        // SAFETY: writes one pointer.
        self.check("context", unsafe { (self.functions.current)(&mut context) })?;
        Ok(context)
    }

    /// Makes this thread's calls go to a context.
    pub fn enter(&self, context: Opaque) -> Result<()> {
        // SAFETY: the context is never released.
        self.check("context", unsafe { (self.functions.enter)(context) })
    }

    pub fn stream(&self) -> Result<Opaque> {
        let mut stream = std::ptr::null_mut();
        // SAFETY: writes one pointer.
        self.check("stream", unsafe { (self.functions.stream)(&mut stream, NON_BLOCKING) })?;
        Ok(stream)
    }

    pub fn wait(&self, stream: Opaque) -> Result<()> {
        // SAFETY: streams live as long as the process.
        self.check("work", unsafe { (self.functions.wait)(stream) })
    }

    /// Waits for the work of all streams.
    pub fn wait_for_all(&self) -> Result<()> {
        // SAFETY: no arguments.
        self.check("work", unsafe { (self.functions.wait_for_all)() })
    }

    /// Lets what comes next on one stream come after what is queued on another.
    ///
    /// # Safety
    /// Both must be streams.
    pub unsafe fn order(&self, first: Opaque, then: Opaque) -> Result<()> {
        let mut event = std::ptr::null_mut();
        // SAFETY: an event that lives through these calls; the driver keeps one that is still waited for.
        unsafe {
            self.check("event", (self.functions.event)(&mut event, UNTIMED))?;
            let recorded = self.check("event", (self.functions.record)(event, first));
            let ordered =
                recorded.and_then(|()| self.check("stream", (self.functions.follow)(then, event, 0)));
            (self.functions.forget)(event);
            ordered
        }
    }

    pub fn allocate(&self, bytes: usize) -> Result<u64> {
        let mut address = 0;
        // SAFETY: writes one address.
        self.check("allocation", unsafe { (self.functions.allocate)(&mut address, bytes) })?;
        Ok(address)
    }

    /// # Safety
    /// Nothing may use the memory any more.
    pub unsafe fn free(&self, address: u64) {
        // SAFETY: passed on; there is nobody to tell of an error.
        _ = unsafe { (self.functions.free)(address) };
    }

    /// Whether memory of the host may still be read after `upload` has returned. HIP is not asked: it would remember "no" as an
    /// error that other libraries find.
    pub fn reads_late(&self, data: &[u8]) -> bool {
        let mut kind = 0u32;
        let (out, address) = ((&raw mut kind).cast(), data.as_ptr() as u64);
        // SAFETY: writes one integer, and follows no pointer.
        self.platform == Platform::Rocm || unsafe { (self.functions.pointer)(out, MEMORY_TYPE, address) == 0 }
    }

    /// Copies host memory that may be changed as soon as this returns, unless `reads_late`.
    ///
    /// # Safety
    /// So many bytes must be there.
    pub unsafe fn upload(&self, to: u64, data: &[u8], stream: Opaque) -> Result<()> {
        // SAFETY: passed on. Of memory that is not pinned the driver makes a copy of its own before it returns.
        let status = unsafe { (self.functions.upload)(to, data.as_ptr().cast(), data.len(), stream) };
        self.check("upload", status)
    }

    /// Copies to the host and waits.
    ///
    /// # Safety
    /// So many bytes must be there.
    pub unsafe fn download(&self, out: &mut [u8], from: u64, stream: Opaque) -> Result<()> {
        // SAFETY: passed on; `out` is written before this returns.
        let status = unsafe { (self.functions.download)(out.as_mut_ptr().cast(), from, out.len(), stream) };
        self.check("download", status).and_then(|()| self.wait(stream))
    }

    /// The kernel of a compiled program.
    pub fn kernel(&self, image: &[u8]) -> Result<Opaque> {
        let (mut module, mut function) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the image is what the vendor's compiler made; modules are never unloaded.
        unsafe {
            let status = (self.functions.module)(&mut module, image.as_ptr().cast());
            if self.platform == Platform::Cuda && UNKNOWN_IMAGE.contains(&status) {
                return Err(Error::Runtime(format!(
                    "the driver, of CUDA {}, does not know what the compiler of kernels makes (error {status}): update it, or \
                     install the compiler of that version, such as nvidia-cuda-nvrtc-cu12 for 12",
                    self.version() / 1000
                )));
            }
            self.check("loading a kernel", status)?;
            let name = c"kernel_main".as_ptr();
            self.check("loading a kernel", (self.functions.function)(&mut function, module, name))?;
        }
        Ok(function)
    }

    /// Queues a kernel of two addresses.
    ///
    /// # Safety
    /// The addresses must be what the kernel takes.
    pub unsafe fn launch(
        &self,
        kernel: Opaque,
        (x, y): (u32, u32),
        threads: u32,
        mut arguments: [u64; 2],
        stream: Opaque,
    ) -> Result<()> {
        let mut places = arguments.each_mut().map(|a| std::ptr::from_mut(a).cast());
        let none = std::ptr::null_mut();
        // SAFETY: passed on; arguments are copied before the call returns.
        let status = unsafe {
            (self.functions.launch)(kernel, x, y, 1, threads, 1, 1, 0, stream, places.as_mut_ptr(), none)
        };
        self.check("launch", status)
    }
}
