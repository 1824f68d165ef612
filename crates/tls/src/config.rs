//! The `tls:` block of a connector.

use crate::{Error, files, verify};
use rustls::{ClientConfig, RootCertStore, client::WebPkiServerVerifier, crypto::CryptoProvider};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc};

/// Whether a connection is encrypted, and what the server has to prove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Never encrypted.
    Disable,
    /// Encrypted when the server offers it. The server proves nothing unless `ca_file` is given.
    #[default]
    Prefer,
    /// Always encrypted. The server proves nothing unless `ca_file` is given.
    Require,
    /// Always encrypted; the server's certificate must come from a trusted authority.
    VerifyCa,
    /// As `verify-ca`, and the certificate must carry the configured host's name.
    VerifyFull,
}

/// How a connection is encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// `disable`, `prefer`, `require`, `verify-ca` or `verify-full`.
    pub mode: Mode,
    /// PEM file with the authorities to trust; the system's own authorities when absent. With a
    /// file, `prefer` and `require` verify the server's certificate as `verify-ca` does.
    pub ca_file: Option<PathBuf>,
    /// PEM file with this client's certificate and the chain behind it.
    pub certificate_file: Option<PathBuf>,
    /// PEM file with the private key of `certificate_file`.
    pub key_file: Option<PathBuf>,
}

impl TlsConfig {
    /// Does a failed handshake leave a plain connection as the next thing to try?
    #[must_use]
    pub fn allows_plain(&self) -> bool {
        matches!(self.mode, Mode::Disable) || (self.mode == Mode::Prefer && self.ca_file.is_none())
    }

    /// Builds the client side of the handshake; `None` when nothing is to be encrypted.
    ///
    /// Reads the named files, so that a wrong one is an error here and not at the first connection.
    pub fn client_config(&self) -> Result<Option<Arc<ClientConfig>>, Error> {
        let identity = match (&self.certificate_file, &self.key_file) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err(Error::HalfIdentity { present: "certificate_file" }),
            (None, Some(_)) => return Err(Error::HalfIdentity { present: "key_file" }),
        };
        if self.mode == Mode::Disable {
            return Ok(None);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = self.verifier(&provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Error::Protocol)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate_file, key_file)) => {
                let chain = files::certificates(certificate_file)?;
                let key = files::private_key(key_file)?;
                builder.with_client_auth_cert(chain, key).map_err(|cause| Error::Identity {
                    certificate_file: certificate_file.clone(),
                    key_file: key_file.clone(),
                    cause,
                })?
            }
        };
        Ok(Some(Arc::new(config)))
    }

    fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn rustls::client::danger::ServerCertVerifier>, Error> {
        let verifies = match self.mode {
            Mode::Disable | Mode::Prefer | Mode::Require => self.ca_file.is_some(),
            Mode::VerifyCa | Mode::VerifyFull => true,
        };
        if !verifies {
            return Ok(Arc::new(verify::Unverified::new(Arc::clone(provider))));
        }
        let mut roots = RootCertStore::empty();
        let mut pinned = Vec::new();
        if let Some(file) = &self.ca_file {
            pinned = files::certificates(file)?;
            let (added, _) = roots.add_parsable_certificates(pinned.iter().cloned());
            if added == 0 {
                return Err(Error::NoAuthority { file: file.clone() });
            }
        } else {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err(Error::NoSystemAuthorities);
            }
        }
        let inner =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .build()
                .map_err(Error::Verifier)?;
        let names = self.mode == Mode::VerifyFull;
        Ok(Arc::new(verify::Verified::new(inner, pinned, names)))
    }
}

/// The client side for plain HTTP, where the client still wants to hear of TLS: trusts nobody.
///
/// # Errors
/// When TLS cannot be set up at all.
pub fn without_authorities() -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::Protocol)?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}
