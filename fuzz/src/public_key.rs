// SPDX-License-Identifier: Apache-2.0
//! Public keys, as DER and as PEM: what is read is written with the same bytes, and a key judges any signature without harm.

use touchmark_keys::PublicKey;

pub fn check(data: &[u8]) {
    if let Ok(key) = PublicKey::from_spki_der(data) {
        assert_eq!(key.spki_der(), data);
        used(&key);
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(key) = PublicKey::from_pem(text)
    {
        used(&key);
    }
}

fn used(key: &PublicKey) {
    let again = PublicKey::from_pem(&key.to_pem()).expect("what was written is read");
    assert_eq!(again.spki_der(), key.spki_der());
    assert!(key.spki_der().ends_with(key.raw()));
    let strong = key.check_strength().is_ok();
    for scheme in key.schemes() {
        assert!(key.verify(*scheme, b"message", b"no signature").is_err());
        // There are Ed25519 keys of small order for which such signatures are right; they are not strong.
        assert!(key.verify(*scheme, b"message", &[0; 64]).is_err() || !strong);
    }
}
