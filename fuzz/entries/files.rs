//! The inputs that are kept: seeds, and what once broke a decoder.

use std::{fs, path::Path};

/// Feeds every kept input of a target to its function.
pub(super) fn feed_all(target: &str, feed: impl Fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("fuzz"));
    let fuzz = fuzz.into_iter().find(|folder| folder.is_dir()).expect("the folder `fuzz`");
    let mut fed = 0;
    for kind in ["seeds", "regressions"] {
        let Ok(files) = fs::read_dir(fuzz.join(kind).join(target)) else { continue };
        for file in files {
            let path = file.expect("a readable folder").path();
            println!("{}", path.display());
            feed(&fs::read(&path).expect("a readable file"));
            fed += 1;
        }
    }
    assert!(fed > 0, "no inputs for {target}");
}
