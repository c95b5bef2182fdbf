//! NVRTC and hipRTC, and what they have compiled, on disk.

use crate::driver::{Driver, Platform};
use crate::libraries::load_for;
use libloading::{Library, Symbol};
use phynexus_core::{Error, Result};
use std::ffi::{CString, c_char, c_int, c_void};
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;

type Handle = *mut c_void;
type Status = c_int;

#[derive(Debug)]
struct Compiler {
    platform: Platform,
    version: (c_int, c_int),
    library: Library,
}

fn compiler(platform: Platform) -> Option<&'static Compiler> {
    static COMPILERS: [OnceLock<Option<Compiler>>; 2] = [const { OnceLock::new() }; 2];
    let names: &[&str] = match (platform, cfg!(windows)) {
        (Platform::Cuda, false) => &["libnvrtc.so.13", "libnvrtc.so.12", "/usr/local/cuda/lib64/libnvrtc.so"],
        (Platform::Cuda, true) => &["nvrtc64_130_0.dll", "nvrtc64_120_0.dll"],
        (Platform::Rocm, false) => {
            &["libhiprtc.so.7", "libhiprtc.so.6", "libamdhip64.so.5", "/opt/rocm/lib/libhiprtc.so"]
        }
        (Platform::Rocm, true) => &["hiprtc0700.dll", "hiprtc0604.dll"],
    };
    let make = || {
        type Version = unsafe extern "C" fn(*mut c_int, *mut c_int) -> Status;
        let found = Compiler { platform, version: (0, 0), library: load_for(platform, names)? };
        let (mut major, mut minor) = (0, 0);
        // SAFETY: writes two integers.
        unsafe { found.function::<Version>("Version").ok()?(&mut major, &mut minor) };
        if platform == Platform::Rocm {
            // All of hipRTC are 9.0; ROCm's own number is that of the driver.
            minor = platform.driver().map_or(0, Driver::version);
        }
        Some(Compiler { version: (major, minor), ..found })
    };
    COMPILERS[platform as usize].get_or_init(make).as_ref()
}

/// Whether the platform's compiler can be loaded.
pub fn is_there(platform: Platform) -> bool {
    compiler(platform).is_some()
}

/// A kernel's text as what the driver loads, for a processor ("sm_90", "gfx90a"; on ROCm the one that is there if none is
/// given). What was compiled once is read from the disk.
pub fn compile(platform: Platform, source: &str, target: &str) -> Result<Vec<u8>> {
    let missing = || {
        let remedy = match platform {
            Platform::Cuda => "pip install \"neurenix[cuda]\" brings it",
            Platform::Rocm => "it is part of ROCm",
        };
        Error::Runtime(format!("{platform:?}'s compiler of kernels is not installed here; {remedy}"))
    };
    let compiler = compiler(platform).ok_or_else(missing)?;
    let (major, minor) = compiler.version;
    let key = format!("{platform:?} {major}.{minor} {target}\n{source}\0");
    let kept = Kept::of(&key);
    if let Some(image) = kept.as_ref().and_then(|kept| kept.read(&key)) {
        return Ok(image);
    }
    let image = compiler.compile(source, target)?;
    // A disk that is full or not to be written costs the next start some seconds, and nothing else.
    _ = kept.map(|kept| kept.write(&key, &image));
    Ok(image)
}

impl Compiler {
    fn function<T>(&self, name: &str) -> Result<Symbol<'_, T>> {
        let prefix = if self.platform == Platform::Cuda { "nvrtc" } else { "hiprtc" };
        // SAFETY: callers give the signature that both vendors document.
        unsafe { self.library.get(format!("{prefix}{name}\0").as_bytes()) }
            .map_err(|e| Error::Runtime(format!("{prefix} lacks {name}: {e}")))
    }

    fn compile(&self, source: &str, target: &str) -> Result<Vec<u8>> {
        type Create = unsafe extern "C" fn(
            *mut Handle,
            *const c_char,
            *const c_char,
            c_int,
            *const *const c_char,
            *const *const c_char,
        ) -> Status;
        type Compile = unsafe extern "C" fn(Handle, c_int, *const *const c_char) -> Status;
        let text =
            CString::new(source).map_err(|_| Error::Runtime("a kernel's text has a zero in it".into()))?;
        let target = self.known(target);
        let option = match self.platform {
            Platform::Cuda => format!("--gpu-architecture={target}"),
            Platform::Rocm => format!("--offload-arch={target}"),
        };
        let option = CString::new(option).unwrap_or_default();
        let options: Vec<*const c_char> = if target.is_empty() { vec![] } else { vec![option.as_ptr()] };
        let mut program = std::ptr::null_mut();
        let (none, name) = (std::ptr::null(), c"kernel".as_ptr());
        // SAFETY: texts and options live until the program is destroyed, and their numbers are right.
        let status = unsafe {
            let made =
                self.function::<Create>("CreateProgram")?(&mut program, text.as_ptr(), name, 0, none, none);
            if made != 0 {
                return Err(Error::Runtime(format!("a kernel was not compiled: error {made}")));
            }
            self.function::<Compile>("CompileProgram")?(program, options.len() as c_int, options.as_ptr())
        };
        let code = match self.platform {
            Platform::Cuda if target.starts_with("sm_") => "CUBIN",
            Platform::Cuda => "PTX",
            Platform::Rocm => "Code",
        };
        let result = match status {
            0 => self.text(program, code),
            status => {
                let log = self.text(program, "ProgramLog").unwrap_or_default();
                let log = String::from_utf8_lossy(&log).trim_end_matches('\0').to_string();
                Err(Error::Runtime(format!("a kernel was not compiled for {target}: error {status}\n{log}")))
            }
        };
        // SAFETY: the program is not used any more.
        unsafe {
            self.function::<unsafe extern "C" fn(*mut Handle) -> Status>("DestroyProgram")?(&mut program)
        };
        result
    }

    /// The processor; or, where this compiler does not know it, what the last before it understands: that, the driver translates.
    fn known(&self, target: &str) -> String {
        type Numbers = unsafe extern "C" fn(*mut c_int) -> Status;
        let wanted = target.strip_prefix("sm_").and_then(|number| number.parse().ok());
        let functions =
            (self.function::<Numbers>("GetNumSupportedArchs"), self.function::<Numbers>("GetSupportedArchs"));
        let (Some(wanted), (Ok(count), Ok(list))) = (wanted, functions) else { return target.into() };
        let mut number = 0;
        // SAFETY: the first call says how many numbers the second writes.
        let known: Vec<c_int> = unsafe {
            count(&mut number);
            let mut known = vec![0; number.max(0) as usize];
            list(known.as_mut_ptr());
            known
        };
        match known.into_iter().filter(|&known| known <= wanted).max() {
            Some(before) if before != wanted => format!("compute_{before}"),
            _ => target.into(),
        }
    }

    /// What the compiler says about a program: `GetWHATSize` and `GetWHAT`.
    fn text(&self, program: Handle, what: &str) -> Result<Vec<u8>> {
        type Size = unsafe extern "C" fn(Handle, *mut usize) -> Status;
        type Get = unsafe extern "C" fn(Handle, *mut u8) -> Status;
        let mut size = 0;
        // SAFETY: the first call says how many bytes the second writes.
        unsafe {
            self.function::<Size>(&format!("Get{what}Size"))?(program, &mut size);
            let mut bytes = vec![0; size];
            self.function::<Get>(&format!("Get{what}"))?(program, bytes.as_mut_ptr());
            Ok(bytes)
        }
    }
}

/// A file with a compiled kernel after the key that it was compiled for.
struct Kept(PathBuf);

impl Kept {
    /// In `NEURENIX_CACHE`, or the user's folder for caches; nowhere if there is none.
    fn of(key: &str) -> Option<Kept> {
        let named = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let user = || {
            named("XDG_CACHE_HOME")
                .or_else(|| named("LOCALAPPDATA"))
                .or_else(|| named("HOME").map(|home| home.join(".cache")))
        };
        let folder = named("NEURENIX_CACHE").or_else(|| Some(user()?.join("neurenix")))?;
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        Some(Kept(folder.join("kernels").join(format!("{:016x}", hasher.finish()))))
    }

    fn read(&self, key: &str) -> Option<Vec<u8>> {
        let bytes = std::fs::read(&self.0).ok()?;
        Some(bytes.strip_prefix(key.as_bytes())?.to_vec()).filter(|image| !image.is_empty())
    }

    /// Written aside and renamed, so that nobody ever reads a half.
    fn write(&self, key: &str, image: &[u8]) -> std::io::Result<()> {
        let folder = self.0.parent().unwrap_or(&self.0);
        std::fs::create_dir_all(folder)?;
        // Of a name of its own: process ids meet where machines share a disk.
        let aside =
            self.0.with_extension(format!("{:016x}", RandomState::new().hash_one(std::process::id())));
        let mut file = std::fs::File::create(&aside)?;
        file.write_all(key.as_bytes())?;
        file.write_all(image)?;
        file.sync_all()?;
        std::fs::rename(aside, &self.0)
    }
}
