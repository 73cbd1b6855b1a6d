// SPDX-License-Identifier: Apache-2.0
//! Certificates and certificate signing requests: every getter returns, and the bytes are those that were read.

use touchmark_sigstore::ct;
use touchmark_sigstore::policy::FulcioExtension;
use touchmark_sigstore::x509::Certificate;
use touchmark_sigstore::x509::csr::Csr;

pub fn check(data: &[u8]) {
    if let Ok(certificate) = Certificate::from_der(data) {
        assert_eq!(certificate.der(), data);
        getters(&certificate);
        let pem = certificate.to_pem();
        assert_eq!(Certificate::from_pem(&pem).expect("what was written is read"), certificate);
        let _ = ct::LogEntry::from_certificate(&certificate);
        let _ = ct::LogEntry::from_precertificate(&certificate, &certificate);
        let _ = ct::LogEntry::from_certificate_with_scts(&certificate, &certificate);
        let _ = certificate.verify_issued_by(&certificate);
        if let Ok(scts) = ct::embedded_scts(&certificate) {
            assert!(!scts.is_empty() && scts.len() <= ct::SCTS_MAX);
        }
    }
    if let Ok(csr) = Csr::from_der(data) {
        let _ = (csr.public_key(), csr.scheme(), csr.verify());
    }
}

fn getters(certificate: &Certificate) {
    let within = |part: &[u8]| assert!(part.len() <= certificate.der().len());
    within(certificate.tbs_der());
    within(certificate.spki_der());
    within(certificate.serial());
    within(certificate.subject_der());
    within(certificate.issuer_der());
    let _ = (certificate.not_before(), certificate.not_after(), certificate.is_ca());
    let _ = (certificate.subject_text(), certificate.issuer_text(), certificate.subject_key_id());
    let _ = (certificate.basic_constraints(), certificate.key_usage(), certificate.extended_key_usages());
    let _ = (certificate.san(), certificate.issuer_claim(), certificate.fulcio_extensions());
    let _ = FulcioExtension::values_in(certificate);
    if let Ok(key) = certificate.public_key() {
        assert_eq!(key.spki_der(), certificate.spki_der());
    }
}
