// SPDX-License-Identifier: Apache-2.0
//! Checkpoint texts: the specification's example, and what is refused.

use proptest::prelude::*;

use super::*;

const ROOT: &str = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";

fn example() -> Checkpoint {
    Checkpoint {
        origin: "example.com/behind-the-sofa".to_owned(),
        size: TreeSize(20_852_163),
        root: Hash::from_slice(&STANDARD.decode(ROOT).unwrap()).unwrap(),
        extensions: Vec::new(),
    }
}

#[test]
fn the_example_of_the_specification_is_read_and_written() {
    let text = format!("example.com/behind-the-sofa\n20852163\n{ROOT}\n");
    assert_eq!(Checkpoint::parse(&text), Ok(example()));
    assert_eq!(example().to_text(), text);
}

#[test]
fn origins_with_spaces_and_extension_lines_are_kept() {
    let text = format!("rekor.sigstore.dev - 2605736670972794746\n0\n{ROOT}\nTimestamp: 1689177396617352539\nb\n");
    let checkpoint = Checkpoint::parse(&text).unwrap();
    assert_eq!(checkpoint.origin, "rekor.sigstore.dev - 2605736670972794746");
    assert_eq!(checkpoint.size, TreeSize(0));
    assert_eq!(checkpoint.extensions, ["Timestamp: 1689177396617352539", "b"]);
    assert_eq!(checkpoint.to_text(), text);
}

#[test]
fn malformed_checkpoints_are_refused() {
    use CheckpointError::{
        ControlCharacter, EmptyExtension, NoFinalNewline, Origin, Root, Size, TooLong, TooManyExtensions,
    };
    let short = STANDARD.encode([0; 31]);
    let long = STANDARD.encode([0; 33]);
    let loose = ROOT.replace("2I=", "2J=");
    let many = "x\n".repeat(EXTENSION_LINES_MAX + 1);
    let cases = [
        (String::new(), NoFinalNewline),
        (format!("o\n1\n{ROOT}"), NoFinalNewline),
        ("\n".to_owned(), Origin),
        (format!("\n1\n{ROOT}\n"), Origin),
        ("o\n".to_owned(), Size),
        (format!("o\n\n{ROOT}\n"), Size),
        (format!("o\n{ROOT}\n"), Size),
        (format!("o\n01\n{ROOT}\n"), Size),
        (format!("o\n+1\n{ROOT}\n"), Size),
        (format!("o\n-1\n{ROOT}\n"), Size),
        (format!("o\n 1\n{ROOT}\n"), Size),
        (format!("o\n1 \n{ROOT}\n"), Size),
        (format!("o\n0x1\n{ROOT}\n"), Size),
        (format!("o\n١\n{ROOT}\n"), Size),
        (format!("o\n18446744073709551616\n{ROOT}\n"), Size),
        ("o\n1\n".to_owned(), Root),
        ("o\n1\n\n".to_owned(), Root),
        (format!("o\n1\n{}\n", ROOT.trim_end_matches('=')), Root),
        (format!("o\n1\n {ROOT}\n"), Root),
        (format!("o\n1\n{ROOT} \n"), Root),
        (format!("o\n1\n{short}\n"), Root),
        (format!("o\n1\n{long}\n"), Root),
        (format!("o\n1\n{loose}\n"), Root),
        (format!("o\n1\n{}\n", ROOT.replace('/', "_")), Root),
        (format!("o\n1\n{ROOT}\n\n"), EmptyExtension),
        (format!("o\n1\n{ROOT}\nx\n\ny\n"), EmptyExtension),
        (format!("o\n1\n{ROOT}\n{many}"), TooManyExtensions),
        (format!("o\r\n1\n{ROOT}\n"), ControlCharacter),
        (format!("o\0\n1\n{ROOT}\n"), ControlCharacter),
        (format!("o\n1\n{ROOT}\n{}\n", "x".repeat(NOTE_BYTES_MAX)), TooLong { found: NOTE_BYTES_MAX + 50 }),
    ];
    for (text, error) in cases {
        let shown = text.chars().take(100).collect::<String>();
        assert_eq!(Checkpoint::parse(&text), Err(error), "{shown:?}");
    }
    assert!(Checkpoint::parse(&format!("o\n18446744073709551615\n{ROOT}\n")).is_ok());
    assert!(Checkpoint::parse(&format!("o\n1\n{ROOT}\n{}", "x\n".repeat(EXTENSION_LINES_MAX))).is_ok());
}

/// A line ends with a newline alone: what other programs take for the end of a line hides nothing and moves nothing.
#[test]
fn only_newlines_end_lines() {
    for separator in ['\u{85}', '\u{2028}', '\u{2029}', '\u{7f}', '\u{a0}'] {
        let origin = format!("o{separator}7{separator}{ROOT}");
        let text = format!("{origin}\n1\n{ROOT}\nmore{separator}\n");
        let checkpoint = Checkpoint::parse(&text).unwrap();
        assert_eq!((checkpoint.origin, checkpoint.size), (origin, TreeSize(1)));
        assert_eq!(checkpoint.extensions, [format!("more{separator}")]);
        assert_eq!(Checkpoint::parse(&format!("o{separator}1{separator}{ROOT}\n")), Err(CheckpointError::Size));
        assert_eq!(Checkpoint::parse(&format!("o\n1{separator}\n{ROOT}\n")), Err(CheckpointError::Size));
        assert_eq!(Checkpoint::parse(&format!("o\n1\n{ROOT}{separator}\n")), Err(CheckpointError::Root));
    }
    for control in (0..b' ').filter(|byte| *byte != b'\n') {
        for text in
            [format!("o{}\n1\n{ROOT}\n", char::from(control)), format!("o\n1\n{ROOT}\nx{}\n", char::from(control))]
        {
            assert_eq!(Checkpoint::parse(&text), Err(CheckpointError::ControlCharacter), "{control}");
        }
    }
}

#[test]
fn tree_head_bytes_are_those_of_the_rfc() {
    let bytes = tree_head_signed_bytes(0x0102_0304_0506_0708, TreeSize(0x1112), &Hash([0xaa; HASH_BYTES]));
    let expected = format!("000101020304050607080000000000001112{}", "aa".repeat(HASH_BYTES));
    assert_eq!(hex::encode(bytes), expected);
}

proptest! {
    #[test]
    fn whatever_is_read_is_written_the_same(
        text in prop_oneof![
            any::<String>(),
            "(o|)\n(0|1|01|x|)\n(CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=|CsUY|)\n(x\n|\n){0,3}x?",
        ]
    ) {
        if let Ok(checkpoint) = Checkpoint::parse(&text) {
            prop_assert_eq!(checkpoint.to_text(), text);
        }
    }

    #[test]
    fn what_is_written_is_read_the_same(
        origin in "[^\\x00-\\x1f]{1,20}", size: u64, root: [u8; 32], extensions in proptest::collection::vec("[^\\x00-\\x1f]{1,9}", 0..=3),
    ) {
        let checkpoint = Checkpoint { origin, size: TreeSize(size), root: Hash(root), extensions };
        prop_assert_eq!(Checkpoint::parse(&checkpoint.to_text()), Ok(checkpoint));
    }
}
