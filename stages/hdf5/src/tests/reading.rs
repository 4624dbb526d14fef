//! All formats are read alike, and every bad file gives one message with a remedy.

use super::{fixture, value};
use crate::Error;
use crate::{Dataset, Element, FileListing, OutData, list, read_dataset_f32, write_datasets};

fn refused(dataset: &str) -> String {
    refused_in("refused.h5", dataset)
}

fn refused_in(file: &str, dataset: &str) -> String {
    match Dataset::open(&fixture(file), dataset) {
        Err(Error::Input(message)) => {
            assert!(message.contains(file), "the file is not named: {message}");
            message
        }
        other => panic!("{dataset}: expected an input error, found {other:?}"),
    }
}

fn contains(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

#[test]
fn every_element_type_reads_the_same_plain_and_packed() {
    for (name, element) in [
        ("f16", Element::F16),
        ("f32", Element::F32),
        ("f64", Element::F64),
        ("u8", Element::U8),
    ] {
        for dataset in [name.to_owned(), format!("/packed/{name}")] {
            let opened = Dataset::open(&fixture("formats.h5"), &dataset).expect(&dataset);
            assert_eq!(opened.shape(), [10, 6]);
            assert_eq!((opened.items(), opened.item_width()), (10, 6));
            assert_eq!(opened.element(), element);
            let rows = opened.read_items(2..9).expect(&dataset);
            let expected: Vec<f32> = (2..9)
                .flat_map(|i| (0..6).map(move |j| (i, j)))
                .map(|(i, j)| match element {
                    Element::U8 => ((7 * i + 3 * j) % 256) as f32,
                    _ => value(i, j),
                })
                .collect();
            assert_eq!(rows, expected, "{dataset}");
            assert!(opened.read_items(4..4).expect("empty").is_empty());
        }
    }
}

#[test]
fn tokens_images_big_endian_and_soft_links_are_read() {
    let open = |name| Dataset::open(&fixture("formats.h5"), name).expect(name);
    let tokens = open("tokens");
    assert_eq!((tokens.shape(), tokens.item_width()), (&[6, 3, 4][..], 12));
    assert_eq!(tokens.read_items(5..6).expect("read")[11], value(5, 11));
    let images = open("images");
    assert_eq!(images.shape(), [5, 1, 4, 4]);
    assert_eq!(images.read_items(4..5).expect("read")[15], 73.0);
    assert_eq!(
        open("big_endian").read_items(3..4).expect("read")[2],
        value(3, 2)
    );
    assert_eq!(
        open("alias").read_items(3..4).expect("read")[2],
        value(3, 2)
    );
    let described = open("packed/f16").describe();
    contains(&described, &["/packed/f16 [10, 6] f16 in ", "formats.h5"]);
}

#[test]
fn a_missing_file_is_named() {
    let message = refused_in("nowhere.h5", "features");
    contains(&message, &["no file", "nowhere.h5"]);
}

#[test]
fn a_file_that_is_not_hdf5_is_told_from_a_truncated_one() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let good = std::fs::read(fixture("formats.h5")).expect("fixture");
    let open = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("write");
        match Dataset::open(&path, "f32") {
            Err(Error::Input(message)) => message,
            other => panic!("{name}: {other:?}"),
        }
    };
    contains(
        &open("a.npy", b"\x93NUMPY\x01\x00v\x00{}"),
        &["not an HDF5 file"],
    );
    contains(&open("tiny.h5", b"x"), &["not an HDF5 file"]);
    contains(
        &open("half.h5", &good[..good.len() / 2]),
        &["truncated or damaged", "again"],
    );
    let message = match Dataset::open(dir.path(), "f32") {
        Err(Error::Input(message)) => message,
        other => panic!("{other:?}"),
    };
    contains(&message, &["is not a file"]);
}

#[test]
fn a_missing_dataset_lists_what_there_is_and_guesses() {
    let message = refused("features");
    contains(
        &message,
        &[
            "no `/features`",
            "`/feats` [4, 2] f32",
            "Did you mean `feats`?",
        ],
    );
    contains(&refused("group/inner"), &["no `/group/inner`"]);
    contains(&refused("feats/inner"), &["no `/feats/inner`"]);
    contains(&refused("group"), &["is a group"]);
    contains(&refused("/"), &["no `/`"]);
}

#[test]
fn wrong_types_ranks_and_empty_datasets_are_refused() {
    contains(&refused("int32"), &["i32", "expected f16, f32, f64 or u8"]);
    contains(
        &refused("text"),
        &["string", "expected f16, f32, f64 or u8"],
    );
    contains(&refused("bfloat16"), &["bfloat16", "expected f16"]);
    contains(&refused("rank1"), &["[4]", "expected rank 2, 3 or 4"]);
    contains(
        &refused("rank5"),
        &["[1, 1, 1, 1, 1]", "expected rank 2, 3 or 4"],
    );
    contains(&refused("empty"), &["[0, 3]", "empty"]);
    contains(&refused("no_width"), &["[3, 0]", "empty"]);
}

#[test]
fn a_shape_that_the_file_cannot_hold_is_refused_before_memory_is_taken() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("huge.h5");
    for shape in [[1usize << 40, 2], [4, 1 << 50]] {
        let file = hdf5::File::create(&path).expect("create");
        let chunk = [4, 2];
        let dataset = file.new_dataset::<f32>().shape(shape).chunk(chunk);
        drop(dataset.create("features").expect("dataset"));
        drop(file);
        match Dataset::open(&path, "features") {
            Err(Error::Input(message)) => {
                contains(&message, &["huge.h5", "says that its shape is"])
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn nothing_leads_into_another_file() {
    contains(&refused("external_link"), &["link into another file"]);
    contains(&refused("soft_to_external"), &["link into another file"]);
    contains(&refused("external_storage"), &["external files", "refused"]);
    contains(&refused("virtual"), &["virtual", "refused"]);
    contains(&refused("circle_a"), &["circle"]);
}

#[test]
fn a_number_beyond_f32_is_an_error_and_not_infinity() {
    let dataset = Dataset::open(&fixture("refused.h5"), "too_large").expect("open");
    assert_eq!(dataset.read_items(0..1).expect("small"), [0.0, 1.0]);
    match dataset.read_items(0..2) {
        Err(Error::Input(message)) => {
            contains(&message, &["1e300", "item 1, column 1", "Rescale"]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_damaged_chunk_is_an_error_that_names_the_items() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("damaged.h5");
    // Incompressible, so that most bytes of the file are data.
    let rows: Vec<f32> = super::normals(1, 4000).iter().map(|&v| v as f32).collect();
    write_datasets(&path, &[("x", &[1000, 4], OutData::F32(&rows))], &[]).expect("write");
    let mut bytes = std::fs::read(&path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).expect("write");
    let outcome = Dataset::open(&path, "x").and_then(|d| d.read_items(0..1000));
    match outcome {
        Err(Error::File { message, .. }) => {
            contains(&message, &["items 0 to 1000", "checksum", "damaged"])
        }
        other => panic!(
            "one flipped bit was not noticed: {:?}",
            other.map(|r| r.len())
        ),
    }
}

#[test]
fn a_chunk_that_grows_beyond_its_size_is_refused_before_it_does() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("bomb.h5");
    let file = hdf5::File::create(&path).expect("create");
    // a chunk of 64 KiB, in the place of which lie zeros enough for 100 MB
    let builder = file.new_dataset::<f32>().shape([64, 256]).chunk([64, 256]);
    let dataset = builder.deflate(9).create("x").expect("create");
    let zeros = vec![0; 100 << 20];
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut packed, &zeros).expect("pack");
    let packed = packed.finish().expect("pack");
    crate::raw::write_chunk(&dataset, &[0, 0], &packed).expect("write");
    drop((dataset, file));
    let outcome = Dataset::open(&path, "x");
    match outcome {
        Err(Error::Input(message)) => contains(&message, &["bomb.h5", "stored", "damaged"]),
        other => panic!("expected an input error, found {other:?}"),
    }
}

#[test]
fn a_listing_shows_shapes_types_chunks_filters_and_attributes() {
    let found = list(&fixture("formats.h5")).expect("list");
    let names: Vec<&str> = found.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "/big_endian",
            "/f16",
            "/f32",
            "/f64",
            "/images",
            "/packed/f16",
            "/packed/f32",
            "/packed/f64",
            "/packed/u8",
            "/tokens",
            "/u8"
        ]
    );
    let packed = &found[5];
    assert_eq!(
        (packed.dtype.as_str(), &packed.shape[..]),
        ("f16", &[10, 6][..])
    );
    assert_eq!(packed.chunks.as_deref(), Some(&[3, 4][..]));
    assert_eq!(packed.filters, ["shuffle", "gzip(4)"]);
    assert!(packed.stored_bytes > 0);
    let mut attributes = found[2].attributes.clone();
    attributes.sort();
    assert_eq!(
        attributes,
        [
            ("scale".to_owned(), "[0.25, -3]".to_owned()),
            ("source".to_owned(), "made by make.py".to_owned())
        ]
    );
    let refused = FileListing::read(&fixture("refused.h5")).expect("list");
    assert_eq!(refused.external_links, ["/external_link"]);
    assert!(refused.datasets.iter().any(|d| d.name == "/virtual"));
}

#[test]
fn a_whole_dataset_is_read_with_its_shape() {
    let (shape, values) = read_dataset_f32(&fixture("formats.h5"), "packed/u8").expect("read");
    assert_eq!((shape, values[6]), (vec![10, 6], 7.0));
    assert!(read_dataset_f32(&fixture("formats.h5"), "nothing").is_err());
}
