// SPDX-License-Identifier: Apache-2.0
//! The first PEM block of a text.
//!
//! Spec: RFC 7468, lenient as Go's `encoding/pem` is: text around the block and any line width are accepted.
//! In scope: blocks without headers. Out of scope: bundles of several blocks (certificate chains are read in `sigstore`).

use zeroize::Zeroizing;

use crate::KeyError;

/// Longest PEM text of a key: the largest is an encrypted RSA-4096 key of some 3.5 kB.
const PEM_BYTES_MAX: usize = 64 * 1024;

/// Label and content of the first block in `text`. The content may be a secret key.
pub(crate) fn decode(text: &str) -> Result<(&str, Zeroizing<Vec<u8>>), KeyError> {
    if text.len() > PEM_BYTES_MAX {
        return Err(KeyError::Pem);
    }
    let block = first_block(text).ok_or(KeyError::Pem)?;
    let mut decoder = der::pem::Decoder::new_detect_wrap(block.as_bytes()).map_err(|_| KeyError::Pem)?;
    // Sized up front: a vector that grows leaves copies of a secret behind.
    let mut content = Zeroizing::new(vec![0; decoder.remaining_len()]);
    decoder.decode(&mut content).map_err(|_| KeyError::Pem)?;
    Ok((decoder.type_label(), content))
}

pub(crate) fn encode(label: &str, content: &[u8]) -> Zeroizing<String> {
    let text = der::pem::encode_string(label, der::pem::LineEnding::LF, content);
    Zeroizing::new(text.expect("the labels are constants and a key is short"))
}

fn first_block(text: &str) -> Option<&str> {
    let start = text.find("-----BEGIN ")?;
    let rest = text.get(start..)?;
    let end = rest.find("-----END ")?;
    let line_bytes = rest.get(end..)?.find(['\r', '\n']);
    rest.get(..line_bytes.map_or(rest.len(), |length| end + length)).map(str::trim_end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_go_reads() {
        let plain = "-----BEGIN X-----\nAAEC\n-----END X-----\n";
        for text in [
            plain.to_owned(),
            plain.trim_end().to_owned(),
            plain.replace('\n', "\r\n"),
            format!("some words before\n{plain}\n\n"),
            format!("{plain}{plain}"),
            format!("\n\n{plain}trailing words"),
        ] {
            let (label, content) = decode(&text).unwrap();
            assert_eq!((label, content.as_slice()), ("X", [0, 1, 2].as_slice()), "{text:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_block() {
        for text in [
            "",
            "AAEC",
            "-----BEGIN X-----\nAAEC\n-----END Y-----\n",
            "-----BEGIN X-----\nA_EC\n-----END X-----\n",
            "-----END X-----\n-----BEGIN X-----\n",
            "-----BEGIN X-----",
        ] {
            assert_eq!(decode(text).err(), Some(KeyError::Pem), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text: String) {
            let _ = decode(&text);
            let _ = decode(&format!("-----BEGIN {text}-----\n{text}\n-----END {text}"));
        }

        #[test]
        fn goes_there_and_back(content in prop::collection::vec(any::<u8>(), 1..300)) {
            let text = encode("PUBLIC KEY", &content);
            let (label, decoded) = decode(&text).unwrap();
            prop_assert_eq!(label, "PUBLIC KEY");
            prop_assert_eq!(&*decoded, &content);
        }
    }
}
