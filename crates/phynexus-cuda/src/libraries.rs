//! Where libraries are looked for: where the system looks, and in the folders that Python packages bring theirs in.

use libloading::Library;
use parking_lot::RwLock;
use std::path::{Path, PathBuf};

static FOLDERS: RwLock<Vec<PathBuf>> = RwLock::new(Vec::new());

/// Python's folders of packages; the wheels of NVIDIA and AMD are looked for in them.
pub fn look_in(folders: Vec<PathBuf>) {
    *FOLDERS.write() = folders;
}

/// The first of these libraries that can be loaded.
pub(crate) fn load(names: &[&str]) -> Option<Library> {
    let here = names.iter().map(PathBuf::from);
    here.chain(packaged(names)).find_map(|path| {
        // SAFETY: what such a library does when it is loaded is what its vendor has it do for every program.
        unsafe { Library::new(path) }.ok()
    })
}

/// These libraries in `FOLDER/nvidia/*/lib` and the like.
fn packaged(names: &[&str]) -> Vec<PathBuf> {
    let inside = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        found.sort();
        found.reverse(); // the newest version first
        found
    };
    let folders = FOLDERS.read();
    let wheels = folders.iter().flat_map(|folder| inside(&folder.join("nvidia")));
    let places: Vec<PathBuf> =
        wheels.flat_map(|wheel| [wheel.join("lib"), wheel.join("bin"), wheel.join("bin/x86_64")]).collect();
    let exists = |path: &PathBuf| path.exists();
    places.iter().flat_map(|place| names.iter().map(|name| place.join(name))).filter(exists).collect()
}
