//! TLS: Slack's certificate is verified against the system's authorities, the database's like libpq does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use x509_cert::time::Validity;

use crate::error::Error;

/// What is verified in a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Nothing, like psql with `sslmode=require`: many servers have self-signed certificates.
    Nothing,
    /// Its authority.
    Authority,
    /// Also that it belongs to this server.
    Name,
}

/// The TLS requirements for the database.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) check: Check,
    /// The server's authority; the system's authorities if not given.
    pub(crate) root: Option<PathBuf>,
    /// Our own certificate and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

pub(crate) fn connector(wanted: &Wanted) -> Result<MakeRustlsConnect, Error> {
    Ok(MakeRustlsConnect::new(config(wanted)?))
}

fn config(wanted: &Wanted) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let trusted = match &wanted.root {
        Some(path) if wanted.check != Check::Nothing => certificates(path)?,
        _ => Vec::new(),
    };
    let authority = match wanted.check {
        Check::Nothing => None,
        Check::Authority | Check::Name => {
            let roots = Arc::new(match &wanted.root {
                Some(_) => roots_of(&trusted)?,
                None => roots_of_system(),
            });
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
            let verifier = verifier.build();
            Some(verifier.map_err(|error| TlsError::General(error.to_string()))?)
        }
    };
    let verifier = Verifier {
        provider: provider.clone(),
        authority,
        trusted,
        checks_name: wanted.check == Check::Name,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    Ok(match &wanted.identity {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificates = certificates(certificate)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
            config.with_client_auth_cert(certificates, key)?
        }
    })
}

/// Verifies the server's certificate against the system's authorities.
pub(crate) fn verifying() -> Result<ClientConfig, Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots_of_system())
        .with_no_client_auth();
    Ok(config)
}

fn roots_of_system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // An unreadable certificate is not trusted; a server whose authority is missing is rejected.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn roots_of(trusted: &[CertificateDer<'static>]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.clone())?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<CertificateDer<'static>> =
        read.map_err(|error| unreadable(path, &error))?;
    match certificates.is_empty() {
        true => Err(unreadable(path, &"there is no certificate in it")),
        false => Ok(certificates),
    }
}

fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::Certificate(format!("{}: {why}", path.display()))
}

/// The handshake must always be signed with the certificate's key: SCRAM's channel binding relies on that.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    authority: Option<Arc<WebPkiServerVerifier>>,
    /// The certificates in the file of the authority. A server's may be among them: one that it has signed itself. webpki refuses
    /// that if it is an authority's.
    trusted: Vec<CertificateDer<'static>>,
    checks_name: bool,
}

impl Verifier {
    /// When the server's own certificate is valid, if it is an authority's that is trusted.
    fn trusted(&self, certificate: &CertificateDer<'_>) -> Result<Option<Validity>, TlsError> {
        if !self.trusted.contains(certificate) {
            return Ok(None);
        }
        let said = read(certificate)?.tbs_certificate;
        Ok((said.issuer == said.subject).then_some(said.validity))
    }

    /// Of a certificate that is trusted as it is only its dates and its name are left to verify.
    fn verify_trusted(
        &self,
        certificate: &CertificateDer<'_>,
        validity: Validity,
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let now = now.as_secs();
        if now < validity.not_before.to_unix_duration().as_secs() {
            return Err(CertificateError::NotValidYet.into());
        }
        if now > validity.not_after.to_unix_duration().as_secs() {
            return Err(CertificateError::Expired.into());
        }
        if self.checks_name {
            verify_server_name(&ParsedCertificate::try_from(certificate)?, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }
}

/// Certificates of all versions of X.509: webpki, which TLS 1.2 still asks, knows the third only, and servers make themselves some of
/// the first.
fn read(certificate: &CertificateDer<'_>) -> Result<Certificate, TlsError> {
    Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding.into())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let Some(authority) = &self.authority else {
            return Ok(ServerCertVerified::assertion());
        };
        if let Some(validity) = self.trusted(end_entity)? {
            return self.verify_trusted(end_entity, validity, server_name, now);
        }
        let verified = authority.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            // The name is checked last.
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.checks_name => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let key = read(certificate)?.tbs_certificate.subject_public_key_info;
        let key = key.to_der().map_err(|_| CertificateError::BadEncoding)?;
        let key = SubjectPublicKeyInfoDer::from(key);
        verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as StdError;
    use std::fs;
    use std::path::PathBuf;
    use std::sync::Arc;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
    use rustls::{ClientConnection, ServerConfig, ServerConnection};

    use super::{Check, Wanted, config};

    type Result<T> = std::result::Result<T, Box<dyn StdError>>;

    /// The server db.example, and the file of its authority.
    fn server(name: &str) -> Result<(Arc<ServerConfig>, PathBuf)> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let root = std::env::temp_dir().join(format!("{name}-{}.pem", std::process::id()));
        fs::write(&root, authority.self_signed(&key)?.pem())?;
        let issuer = Issuer::new(authority, key);
        let key = KeyPair::generate()?;
        let names = vec!["db.example".to_owned()];
        let certificate = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())?;
        Ok((Arc::new(server), root))
    }

    /// Whether a client trusts that server under this name.
    fn trusts(server: &Arc<ServerConfig>, wanted: &Wanted, name: &'static str) -> Result<bool> {
        let client = Arc::new(config(wanted)?);
        let mut client = ClientConnection::new(client, ServerName::try_from(name)?)?;
        let mut server = ServerConnection::new(Arc::clone(server))?;
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes)?;
            server.read_tls(&mut bytes.as_slice())?;
            if server.process_new_packets().is_err() {
                return Ok(false);
            }
            bytes.clear();
            server.write_tls(&mut bytes)?;
            client.read_tls(&mut bytes.as_slice())?;
            if client.process_new_packets().is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    #[test]
    fn servers_are_trusted_as_far_as_was_asked() -> Result<()> {
        let (server, root) = server("lockstep-tls")?;
        let (_, another) = self::server("lockstep-tls-another")?;
        let system = None;
        for (check, root, name, expected) in [
            (Check::Name, Some(&root), "db.example", true),
            (Check::Name, Some(&root), "other.example", false),
            (Check::Name, Some(&another), "db.example", false),
            (Check::Name, system, "db.example", false),
            (Check::Authority, Some(&root), "other.example", true),
            (Check::Authority, Some(&another), "db.example", false),
            (Check::Nothing, system, "other.example", true),
        ] {
            let wanted = Wanted {
                check,
                root: root.cloned(),
                identity: None,
            };
            let trusted = trusts(&server, &wanted, name)?;
            assert_eq!(trusted, expected, "{wanted:?} {name}");
        }
        for file in [root, another] {
            fs::remove_file(file)?;
        }
        Ok(())
    }
}
