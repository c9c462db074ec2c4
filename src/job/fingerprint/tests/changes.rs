//! Changes of a type that count, and those that do not.

use super::*;

#[test]
fn names_of_types_do_not_count() {
    let base = fingerprint_of::<base::Args>();
    assert_eq!(base, fingerprint_of::<renamed_type::Other>());
    assert_eq!(base, fingerprint_of::<skipping::Args>());
    assert_eq!(base, fingerprint_of::<renamed_back::Args>());
    assert_eq!(fingerprint_of::<usize>(), fingerprint_of::<u64>());
    assert_eq!(fingerprint_of::<isize>(), fingerprint_of::<i64>());
    assert_eq!(fingerprint_of::<Box<u64>>(), fingerprint_of::<u64>());
}

#[test]
fn every_change_of_a_struct_counts() {
    assert_all_differ!(
        base::Args,
        reordered::Args,
        renamed::Args,
        added::Args,
        defaulted::Args,
        removed::Args,
        widened::Args,
        signed::Args,
        blob::Args,
        optional::Args,
        wrapped::Args,
        (i64, u32, String),
        swapped_one::Args,
        swapped_two::Args,
    );
}

#[test]
fn primitives_and_containers_all_differ() {
    assert_all_differ!(
        (), bool, char, String, i8, i16, i32, i64, i128, u8, u16, u32, u64, u128, f32, f64,
        Blob, Vec<u8>, Vec<i8>, Option<u8>, Option<Option<u8>>, Option<()>, Vec<Vec<u8>>,
        (u8,), (u8, u8), (u8, u8, u8), [u8; 4], [u8; 32], ((u8, u8), u8), (u8, (u8, u8)),
        HashMap<u8, u16>, HashMap<u16, u8>, Vec<(u8, u16)>, Wrapper,
    );
}

#[test]
fn every_change_of_an_enum_counts() {
    assert_eq!(
        fingerprint_of::<plain::E>(),
        fingerprint_of::<renamed_enum::Elsewhere>()
    );
    assert_eq!(whole::<plain::E>(), "enum {A, B(u8), C{x: u8}}");
    assert_all_differ!(
        plain::E,
        variants_reordered::E,
        variant_renamed::E,
        variant_added::E,
        variant_removed::E,
        variant_widened::E,
        variant_pair::E,
        variant_of_pair::E,
        variant_of_struct::E,
        variant_field::E,
        variant_unit::E,
        variant_empty::E,
        variant_braces::E,
    );
}

#[derive(Deserialize)]
struct Deep<T> {
    rows: Vec<Option<HashMap<String, Choice<T>>>>,
    last: u8,
}

#[derive(Deserialize)]
enum Choice<T> {
    None,
    Left { at: Vec<(u8, Choice2<T>)> },
    Right(Box<Choice2<T>>),
}

#[derive(Deserialize)]
enum Choice2<T> {
    One,
    Two(u8, Option<T>),
}

#[test]
fn changes_deep_inside_count() {
    let described = "{rows: [map<string, enum {None, Left{at: [(u8, enum {One, Two(u8, i64?)})]}, \
                     Right(enum {One, Two(u8, i64?)})}>?], last: u8}";
    assert_eq!(whole::<Deep<i64>>(), described);
    assert_all_differ!(
        Deep<i64>,
        Deep<i32>,
        Deep<u64>,
        Deep<Option<i64>>,
        Deep<base::Args>,
        Deep<reordered::Args>,
        Deep<plain::E>,
        Deep<variant_renamed::E>,
        Deep<Deep<i64>>,
        Deep<Deep<i32>>,
    );
}

#[test]
fn fingerprints_of_plain_types_are_pinned() {
    assert_pinned::<()>("6498dfe4855bb3a7");
    assert_pinned::<base::Args>("3cae086db3b6fc9b");
    assert_pinned::<plain::E>("72b4ee76ffb4cbf1");
    assert_pinned::<Deep<i64>>("ac6dd698b1eca28d");
}
