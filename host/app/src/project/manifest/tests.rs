//! Manifests written and read again, and bytes that somebody damaged. R8.5

use bandstand_test_guests as guests;
use serde_json::json;

use super::*;

fn full() -> Manifest {
    Manifest {
        name: Some("stats".to_owned()),
        version: Some("0.1.0".to_owned()),
        description: Some("Counts words.".to_owned()),
        input: Some(json!({ "type": "object", "properties": { "text": { "type": "string" } } })),
        output: Some(json!(true)),
        uses: Some(vec!["memory-slots".to_owned()]),
        secrets: vec!["token".to_owned()],
        sdk: Some("rust 0.1.0".to_owned()),
    }
}

/// A custom section as somebody else writes it.
fn raw(name: &str, content: &[u8]) -> Vec<u8> {
    let mut payload = leb(name.len());
    payload.extend_from_slice(name.as_bytes());
    payload.extend_from_slice(content);
    [vec![CUSTOM], leb(payload.len()), payload].concat()
}

// R8.5
#[test]
fn what_is_written_is_read_again_and_replaces_what_was_there() {
    let component = guests::echo();
    assert_eq!(read(&component).unwrap(), None);
    let packed = append(&component, &full()).unwrap();
    assert_eq!(read(&packed).unwrap(), Some(full()));
    assert!(packed.starts_with(&component), "nothing else of it changes");
    let other = Manifest { name: Some("other".to_owned()), ..Manifest::default() };
    let again = append(&packed, &other).unwrap();
    assert_eq!(read(&again).unwrap(), Some(other.clone()));
    assert_eq!(again, append(&component, &other).unwrap(), "there is one manifest, not two");
    let null = br#"{"name":null,"uses":null,"secrets":null,"input":null}"#;
    let null = [component.clone(), raw(MANIFEST_SECTION, null)].concat();
    assert_eq!(read(&null).unwrap(), Some(Manifest::default()));
    // Whoever writes more than is known here is read all the same.
    let later = [component.clone(), raw(MANIFEST_SECTION, br#"{"name":"a","licence":"MIT"}"#)].concat();
    assert_eq!(read(&later).unwrap().unwrap().name.as_deref(), Some("a"));
}

// R8.5
#[test]
fn a_manifest_in_the_module_inside_counts_after_one_outside() {
    let inner = r#"(@custom "bandstand:manifest" "{\"name\":\"inner\"}")"#;
    let component = guests::agent(inner, "", "(call $ok (local.get $input_ptr) (local.get $input_len))");
    assert_eq!(read(&component).unwrap().unwrap().name.as_deref(), Some("inner"));
    let packed = append(&component, &full()).unwrap();
    assert_eq!(read(&packed).unwrap(), Some(full()));
}

// R8.5
#[test]
fn a_damaged_manifest_is_told_and_nothing_else_suffers() {
    let component = guests::echo();
    let large = format!("{{\"name\":\"{}\"}}", "a".repeat(MANIFEST_BYTES_MAX));
    let deep = format!("{{\"input\":{}1{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let named = |name: usize| format!("{{\"name\":\"{}\"}}", "a".repeat(name));
    let many = json!({ "uses": vec!["model"; ENTRIES_MAX + 1] }).to_string();
    for (content, told) in [
        (&b"\xff\xfe"[..], "not UTF-8 text (byte 1)"),
        (b"", "not the JSON of a manifest"),
        (b"[]", "not the JSON of a manifest"),
        (br#"{"name":1}"#, "expected a string"),
        (br#"{"name":"a"}{"name":"b"}"#, "trailing characters"),
        (br#"{"input":{"type":"strin"}}"#, "`input` of the manifest is not a valid JSON Schema at `/type`"),
        (br#"{"output":{"$ref":"https://example.com/a"}}"#, "leaves the document"),
        (br#"{"output":{"pattern":"(a"}}"#, "`output` of the manifest"),
        (large.as_bytes(), "262144 are the most"),
        (deep.as_bytes(), "recursion limit"),
        (named(WORD_BYTES_MAX + 1).as_bytes(), "`name` of the manifest has 101 bytes"),
        (many.as_bytes(), "`uses` of the manifest has 65 entries"),
    ] {
        let packed = [component.clone(), raw(MANIFEST_SECTION, content)].concat();
        let error = read(&packed).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
        bandstand_sandbox::inspect(&packed).unwrap().runnable().expect("it is an agent all the same");
    }
    let wrong = Manifest { input: Some(json!(17)), ..Manifest::default() };
    assert!(matches!(append(&component, &wrong), Err(AppendError::Manifest(_))));
}

// R8.5
#[test]
fn no_bytes_bring_the_reader_down() {
    let packed = append(&guests::echo(), &full()).unwrap();
    for length in 0..packed.len() {
        let cut = &packed[..length];
        assert!(!matches!(read(cut), Ok(Some(_))), "cut at {length}");
        let _ = append(cut, &full());
    }
    // Every byte of the section, and every byte of what comes before it, to something else.
    let mut state = 1_u32;
    for at in 0..packed.len() {
        let mut damaged = packed.clone();
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        for byte in [0, 0x7f, 0x80, 0xff, state.to_le_bytes()[3]] {
            damaged[at] = byte;
            let _ = read(&damaged);
            if let Ok(again) = append(&damaged, &full()) {
                assert!(again.ends_with(b"}"), "the manifest is the last of it");
            }
        }
    }
    assert_eq!(append(b"\0asm\x01\0\0\0", &full()), Err(AppendError::NotAComponent));
    assert_eq!(append(b"", &full()), Err(AppendError::NotAComponent));
    assert_eq!(append(&guests::not_a_component(), &full()), Err(AppendError::NotAComponent));
}
