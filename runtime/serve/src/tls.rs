//! TLS from PEM files.

use crate::Error;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;

/// The files that make a listener speak TLS.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the server's certificate and, after it, those between it and the root.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

impl Tls {
    /// Reads both files.
    pub fn load(&self) -> Result<Arc<ServerConfig>, Error> {
        let pem = |what, path: &PathBuf, error: rustls::pki_types::pem::Error| Error::Pem {
            what,
            path: path.clone(),
            why: match error {
                rustls::pki_types::pem::Error::Io(error) => error.to_string(),
                rustls::pki_types::pem::Error::NoItemsFound => "there is none in it".to_owned(),
                other => other.to_string(),
            },
        };
        let certificates = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| pem("the certificate", &self.certificate, error))?;
        if certificates.is_empty() {
            let none = rustls::pki_types::pem::Error::NoItemsFound;
            return Err(pem("the certificate", &self.certificate, none));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| pem("the private key", &self.key, error))?;
        let pair = |why| Error::Pair { certificate: self.certificate.clone(), key: self.key.clone(), why };
        // The provider is named, because a process that has two linked in cannot choose one by itself.
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(pair)?
                .with_no_client_auth()
                .with_single_cert(certificates, key)
                .map_err(pair)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}
