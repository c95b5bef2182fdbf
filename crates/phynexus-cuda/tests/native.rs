//! What can be seen without a GPU: none is found without an error, and kernels are compiled and kept on disk.

use phynexus_core::{DeviceType, Error};
use phynexus_cuda::{Platform, compile, cuda, is_there, look_in, rocm};
use phynexus_gpu::programs;
use std::path::{Path, PathBuf};

#[test]
fn what_is_not_there_is_not_found() {
    for (devices, kind) in [(cuda(), DeviceType::Cuda), (rocm(), DeviceType::Rocm)] {
        use phynexus_core::Device;
        for (index, device) in devices.iter().enumerate() {
            assert_eq!((device.id().kind, device.id().index as usize), (kind, index));
            assert!(!device.name().is_empty() && device.memory() > Some(0));
        }
    }
}

/// The project's own environment, where the tests of Python have the compiler from.
fn packages() -> Vec<PathBuf> {
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/lib");
    let pythons = std::fs::read_dir(lib).into_iter().flatten().flatten();
    pythons.map(|python| python.path().join("site-packages")).collect()
}

/// One test, as the folder is a variable of the whole process.
#[test]
fn kernels_are_compiled_once_and_kept() {
    look_in(packages());
    let folder = std::env::temp_dir().join(format!("neurenix-kernels-{}", std::process::id()));
    // SAFETY: the other test reads no variable.
    unsafe { std::env::set_var("NEURENIX_CACHE", &folder) };
    for (platform, target) in [(Platform::Cuda, "sm_80"), (Platform::Rocm, "gfx90a")] {
        if !is_there(platform) {
            eprintln!("skipped: the compiler of {platform:?} is not installed here");
            continue;
        }
        let (name, text) = programs(platform.dialect()).unwrap().swap_remove(0);
        let image = compile(platform, &text, target).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(image.starts_with(b"\x7fELF") || platform == Platform::Rocm);
        let files = || std::fs::read_dir(folder.join("kernels")).unwrap().map(|f| f.unwrap().path());
        let kept: Vec<PathBuf> = files().collect();
        assert_eq!(kept.len(), 1);
        assert!(compile(platform, &text, target).unwrap() == image);
        // A file that holds something else is not believed.
        let (good, part) = (std::fs::read(&kept[0]).unwrap(), image.len() / 2);
        std::fs::write(&kept[0], &good[part..]).unwrap();
        compile(platform, &text, target).unwrap();
        assert_eq!(std::fs::read(&kept[0]).unwrap().len(), good.len());
        let marked = [&good[..good.len() - image.len()], b"marked"].concat();
        std::fs::write(&kept[0], marked).unwrap();
        assert_eq!(compile(platform, &text, target).unwrap(), b"marked", "it is read from the disk");
        if platform == Platform::Cuda {
            let newer = compile(platform, &text, "sm_999").unwrap();
            assert!(
                String::from_utf8_lossy(&newer).contains(".target sm_"),
                "text for the driver to translate"
            );
        }
        let Err(Error::Runtime(message)) = compile(platform, "no kernel", target) else { panic!() };
        assert!(message.contains("error") && message.contains("no kernel"), "{message}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
