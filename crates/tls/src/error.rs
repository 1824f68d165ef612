//! What goes wrong before and during a handshake, and what helps.

use cdc_core::{Origin, Retry};
use rustls::{AlertDescription, CertificateError};
use std::{error::Error as StdError, io, path::PathBuf};

/// What was wrong with a `tls:` block.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}", file.display())]
    File {
        /// Which file.
        file: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file is too large to be what it should be.
    #[error("{} is larger than {bytes_max} bytes", file.display())]
    FileTooLarge {
        /// Which file.
        file: PathBuf,
        /// The limit.
        bytes_max: u64,
    },
    /// A file is not PEM.
    #[error("{} is not a valid PEM file", file.display())]
    Pem {
        /// Which file.
        file: PathBuf,
        /// Why.
        #[source]
        cause: rustls_pki_types::pem::Error,
    },
    /// A PEM file holds nothing of the kind that is needed.
    #[error("{} holds no {what}", file.display())]
    NothingIn {
        /// Which file.
        file: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// A private key that asks for a passphrase.
    #[error("the private key in {} is encrypted with a passphrase", file.display())]
    EncryptedKey {
        /// Which file.
        file: PathBuf,
    },
    /// No certificate of the authorities' file can be used as an authority.
    #[error("{} holds no certificate that can act as an authority", file.display())]
    NoAuthority {
        /// Which file.
        file: PathBuf,
    },
    /// The system lists no authorities.
    #[error("the system has no trusted authorities")]
    NoSystemAuthorities,
    /// Certificate without key or key without certificate.
    #[error("tls.{present} is set without its counterpart")]
    HalfIdentity {
        /// The key that is set.
        present: &'static str,
    },
    /// Certificate and key do not form an identity.
    #[error(
        "{} and {} do not form a client identity",
        certificate_file.display(),
        key_file.display()
    )]
    Identity {
        /// The certificate.
        certificate_file: PathBuf,
        /// The key.
        key_file: PathBuf,
        /// Why.
        #[source]
        cause: rustls::Error,
    },
    /// The protocol versions do not fit the provider.
    #[error("cannot set up TLS")]
    Protocol(#[source] rustls::Error),
    /// The authorities do not make a verifier.
    #[error("cannot set up the verification of certificates")]
    Verifier(#[source] rustls::client::VerifierBuilderError),
}

impl Error {
    fn remedy(&self) -> &'static str {
        match self {
            Self::File { .. } => {
                "correct the path in the tls block, or let this user read the file"
            }
            Self::FileTooLarge { .. } => "name the PEM file itself in the tls block",
            Self::Pem { .. } => {
                "convert the file to PEM: openssl x509 -in FILE -inform der -out FILE.pem"
            }
            Self::NothingIn { .. } => {
                "name a PEM file: ca_file and certificate_file hold `BEGIN CERTIFICATE`, key_file holds `BEGIN PRIVATE KEY`"
            }
            Self::EncryptedKey { .. } => {
                "store the key without a passphrase: openssl pkey -in KEY -out KEY.plain && chmod 600 KEY.plain"
            }
            Self::NoAuthority { .. } => {
                "name the authority's certificate in tls.ca_file, not the server's key or request"
            }
            Self::NoSystemAuthorities => {
                "install the system's certificates (package ca-certificates), or set tls.ca_file"
            }
            Self::HalfIdentity { .. } => "set tls.certificate_file and tls.key_file, or neither",
            Self::Identity { .. } => {
                "use the key that the certificate was made with: compare `openssl x509 -pubkey -noout -in CERT` and `openssl pkey -pubout -in KEY`"
            }
            Self::Protocol(_) | Self::Verifier(_) => "report this, with the tls block",
        }
    }
}

impl From<Error> for cdc_core::Error {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::File { .. } | Error::FileTooLarge { .. } => "CDC-1101",
            Error::Pem { .. }
            | Error::NothingIn { .. }
            | Error::EncryptedKey { .. }
            | Error::NoAuthority { .. } => "CDC-1102",
            Error::NoSystemAuthorities => "CDC-1103",
            Error::HalfIdentity { .. } | Error::Identity { .. } => "CDC-1104",
            Error::Protocol(_) | Error::Verifier(_) => "CDC-1105",
        };
        Self::new(code, Origin::Config, Retry::AfterOperator, error.to_string())
            .with_remedy(error.remedy())
            .with_source(error)
    }
}

/// Turns a failed handshake with `host` into what an operator should read. `None` when the failure
/// is none of TLS but of the connection below it.
#[must_use]
pub fn explain(failure: &io::Error, host: &str, origin: Origin) -> Option<cdc_core::Error> {
    let cause = rustls_cause(failure)?;
    let make = |code, context: String, remedy: String| {
        cdc_core::Error::new(code, origin, Retry::AfterOperator, context).with_remedy(remedy)
    };
    let error = match cause {
        rustls::Error::InvalidCertificate(problem) => explain_certificate(problem, host, &make),
        rustls::Error::AlertReceived(alert) => explain_alert(*alert, host, &make),
        _ => make(
            "CDC-1105",
            format!("the TLS handshake with {host} failed"),
            "let the server speak TLS 1.2 or 1.3 with a current cipher".to_owned(),
        ),
    };
    Some(error.with_source(cause.clone()))
}

fn rustls_cause(failure: &io::Error) -> Option<&rustls::Error> {
    let mut cause: &(dyn StdError + 'static) = failure.get_ref()?;
    for _ in 0..8 {
        if let Some(found) = cause.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        cause = match cause.downcast_ref::<io::Error>() {
            Some(inner) => inner.get_ref()?,
            None => cause.source()?,
        };
    }
    None
}

fn explain_certificate(
    problem: &CertificateError,
    host: &str,
    make: &dyn Fn(&'static str, String, String) -> cdc_core::Error,
) -> cdc_core::Error {
    match problem {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            make(
                "CDC-1107",
                format!("the certificate of {host} is not made out to {host}"),
                "set `host` to a name that the certificate carries, or tls.mode: verify-ca to check the authority only".to_owned(),
            )
        }
        CertificateError::UnknownIssuer => make(
            "CDC-1106",
            format!("the certificate of {host} comes from an authority that is not trusted"),
            "set tls.ca_file to the certificate of the authority that signed the server's".to_owned(),
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => make(
            "CDC-1108",
            format!("the certificate of {host} has expired"),
            "renew the server's certificate, and check this machine's clock".to_owned(),
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => make(
            "CDC-1108",
            format!("the certificate of {host} is not valid yet"),
            "check this machine's clock, and the date on the server's certificate".to_owned(),
        ),
        _ => make(
            "CDC-1106",
            format!("the certificate of {host} cannot be verified"),
            "give the server an X.509 v3 certificate with its names, signed by the authority in tls.ca_file".to_owned(),
        ),
    }
}

fn explain_alert(
    alert: AlertDescription,
    host: &str,
    make: &dyn Fn(&'static str, String, String) -> cdc_core::Error,
) -> cdc_core::Error {
    match alert {
        AlertDescription::CertificateRequired
        | AlertDescription::NoCertificate
        | AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError => make(
            "CDC-1109",
            format!("{host} refused this client's certificate ({alert:?})"),
            "set tls.certificate_file and tls.key_file to a certificate that the server's own authority signed".to_owned(),
        ),
        _ => make(
            "CDC-1105",
            format!("{host} broke off the TLS handshake ({alert:?})"),
            "let the server speak TLS 1.2 or 1.3 with a current cipher".to_owned(),
        ),
    }
}
