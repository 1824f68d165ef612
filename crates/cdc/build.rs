//! Puts the pages of `docs/errors/` into the program, for `cdc explain`.

use std::{env, error::Error, fmt::Write as _, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    // Asked for at run time: two checkouts may share one directory of build results.
    let here = env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo sets CARGO_MANIFEST_DIR")?;
    let folder = Path::new(&here).join("../../docs/errors");
    println!("cargo::rerun-if-changed={}", folder.display());
    println!("cargo::rerun-if-changed=build.rs");
    let mut pages = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let code = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        if code.starts_with("CDC-") {
            pages.push((code, path.canonicalize()?));
        }
    }
    pages.sort();
    let mut out =
        String::from("/// Every error code and its page.\nconst PAGES: &[(&str, &str)] = &[\n");
    for (code, path) in pages {
        writeln!(out, "    ({code:?}, include_str!({:?})),", path.display().to_string())?;
    }
    out.push_str("];\n");
    let folder = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    fs::write(Path::new(&folder).join("pages.rs"), out)?;
    Ok(())
}
