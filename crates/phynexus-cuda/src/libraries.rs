//! Where libraries are looked for: where the system looks, and in the folders that Python packages bring theirs in.

use crate::driver::{Driver, Platform};
use libloading::Library;
use parking_lot::RwLock;
use std::path::{Path, PathBuf};

static FOLDERS: RwLock<Vec<PathBuf>> = RwLock::new(Vec::new());

/// Python's folders of packages; the wheels of NVIDIA are looked for in them.
pub fn look_in(folders: Vec<PathBuf>) {
    *FOLDERS.write() = folders;
}

/// The first of these libraries that can be loaded and that the driver is new enough for; of CUDA's the first is that of
/// CUDA 13, the second that of 12.
pub(crate) fn load_for(platform: Platform, names: &[&str]) -> Option<Library> {
    let mut names = names.to_vec();
    if platform == Platform::Cuda && platform.driver().is_some_and(Driver::is_old) {
        names.swap(0, 1);
    }
    load(&names)
}

/// The first of these libraries that can be loaded.
pub(crate) fn load(names: &[&str]) -> Option<Library> {
    let places = packages();
    let mut paths = names.iter().flat_map(|name| {
        let packaged = places.iter().map(move |place| place.join(name)).filter(|path| path.exists());
        std::iter::once(PathBuf::from(name)).chain(packaged)
    });
    paths.find_map(|path| {
        // SAFETY: what such a library does when it is loaded is what its vendor has it do for every program.
        unsafe { Library::new(path) }.ok()
    })
}

/// `FOLDER/nvidia/*/lib` and the like.
fn packages() -> Vec<PathBuf> {
    let inside = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        found.sort();
        found.reverse(); // the newest version first
        found
    };
    let folders = FOLDERS.read();
    let wheels = folders.iter().flat_map(|folder| inside(&folder.join("nvidia")));
    wheels.flat_map(|wheel| [wheel.join("lib"), wheel.join("bin"), wheel.join("bin/x86_64")]).collect()
}
