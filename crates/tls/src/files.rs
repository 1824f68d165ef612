//! Certificates and keys out of PEM files.

use crate::Error;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject};
use std::path::Path;

/// No certificate bundle is larger; a wrong path must not fill the memory.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Every certificate of a PEM file, in the file's order; at least one.
pub(crate) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(file)?;
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|cause| Error::Pem { file: file.to_owned(), cause })?;
    if found.is_empty() {
        return Err(Error::NothingIn { file: file.to_owned(), what: "certificate" });
    }
    Ok(found)
}

/// The first private key of a PEM file.
pub(crate) fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let text = read(file)?;
    if contains(&text, b"BEGIN ENCRYPTED PRIVATE KEY") || contains(&text, b"Proc-Type: 4,ENCRYPTED")
    {
        return Err(Error::EncryptedKey { file: file.to_owned() });
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|cause| match cause {
        pem::Error::NoItemsFound => Error::NothingIn { file: file.to_owned(), what: "private key" },
        cause => Error::Pem { file: file.to_owned(), cause },
    })
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let failed = |cause| Error::File { file: file.to_owned(), cause };
    let size = std::fs::metadata(file).map_err(failed)?.len();
    if size > FILE_BYTES_MAX {
        return Err(Error::FileTooLarge { file: file.to_owned(), bytes_max: FILE_BYTES_MAX });
    }
    std::fs::read(file).map_err(failed)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
