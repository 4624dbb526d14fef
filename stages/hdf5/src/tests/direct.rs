//! Reading without libhdf5 gives the same as libhdf5, and detects damage that libhdf5 does not.

use super::{fixture, normals};
use crate::Dataset;
use crate::Error;
use crate::raw::write_items;
use half::f16;
use hdf5::{File, H5Type};

/// Items of each dataset here; no multiple of a chunk.
const ITEMS: usize = 1003;

/// How numbers can lie in a file, and how they are then fetched.
const LAYOUTS: [(&str, &str); 7] = [
    ("contiguous", "Piece"),
    ("chunked", "Chunks"),
    ("checksummed", "Chunks"),
    ("shuffled", "Chunks"),
    ("gzip", "Chunks"),
    ("everything", "Chunks"),
    ("cut along the last axis", "Library"),
];

fn write<T: H5Type>(file: &File, name: &str, layout: &str, item: &[usize], values: &[T]) {
    let shape = [&[ITEMS], item].concat();
    let dataset = file.new_dataset::<T>().shape(shape);
    let chunk = |items: usize| [&[items], item].concat();
    let dataset = match layout {
        "contiguous" => dataset,
        "chunked" => dataset.chunk(chunk(100)),
        "checksummed" => dataset.chunk(chunk(64)).fletcher32(),
        "shuffled" => dataset.chunk(chunk(64)).shuffle().fletcher32(),
        "gzip" => dataset.chunk(chunk(1)).deflate(4),
        "everything" => dataset.chunk(chunk(500)).shuffle().deflate(1).fletcher32(),
        _ => {
            let mut chunk = chunk(64);
            *chunk.last_mut().expect("axes") /= 2;
            dataset.chunk(chunk).shuffle().deflate(4)
        }
    };
    dataset
        .create(name)
        .and_then(|d| d.write_raw(values))
        .expect(name);
}

/// Panics unless the numbers of `dataset` are fetched in the way `way`.
fn assert_way(dataset: &Dataset, way: &str, name: &str) {
    let shown = format!("{dataset:?}");
    assert!(shown.contains(&format!("place: {way}")), "{name}: {shown}");
}

#[test]
fn every_layout_type_and_rank_reads_as_through_libhdf5() {
    let dir = tempfile::tempdir().expect("temporary directory");
    for (rank, item) in [(2, &[6][..]), (3, &[3, 4]), (4, &[1, 2, 4])] {
        let path = dir.path().join(format!("rank{rank}.h5"));
        // Positions in the file count from behind a user block; ours must not.
        let file = File::with_options()
            .with_fcpl(|p| p.userblock(1024))
            .create(&path)
            .expect("create");
        let count = ITEMS * item.iter().product::<usize>();
        let doubles = normals(rank, count);
        let singles: Vec<f32> = doubles.iter().map(|&v| v as f32).collect();
        let halves: Vec<f16> = doubles.iter().map(|&v| f16::from_f64(v)).collect();
        let bytes: Vec<u8> = (0..count).map(|i| (i * 37 % 256) as u8).collect();
        for (layout, _) in LAYOUTS {
            write(&file, &format!("f64 {layout}"), layout, item, &doubles);
            write(&file, &format!("f32 {layout}"), layout, item, &singles);
            write(&file, &format!("f16 {layout}"), layout, item, &halves);
            write(&file, &format!("u8 {layout}"), layout, item, &bytes);
        }
        file.close().expect("close");

        let file = File::open(&path).expect("open");
        for element in ["f64", "f32", "f16", "u8"] {
            for (layout, way) in LAYOUTS {
                let name = format!("{element} {layout}");
                // libhdf5 converts to f32 itself.
                let expected: Vec<f32> =
                    (file.dataset(&name).and_then(|d| d.read_raw())).expect(&name);
                let dataset = Dataset::open(&path, &name).expect(&name);
                assert_way(&dataset, way, &name);
                let width = dataset.item_width();
                for range in [
                    0..ITEMS,
                    0..1,
                    63..65,
                    99..301,
                    640..ITEMS,
                    1002..ITEMS,
                    7..7,
                ] {
                    assert_eq!(
                        dataset.read_items(range.clone()).expect(&name),
                        expected[range.start * width..range.end * width],
                        "{name} of rank {rank}, {range:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn foreign_byte_order_and_chunks_never_written_are_left_to_libhdf5() {
    let opened = Dataset::open(&fixture("formats.h5"), "big_endian").expect("open");
    assert_way(&opened, "Library", "big_endian");

    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("sparse.h5");
    let file = File::create(&path).expect("create");
    let sparse = (file.new_dataset::<f32>().shape([40, 3]).fill_value(2.5f32))
        .chunk([10, 3])
        .create("sparse")
        .expect("create");
    write_items(&sparse, &[40, 3], 10, &[1.0f32; 30]).expect("write");
    file.close().expect("close");
    let opened = Dataset::open(&path, "sparse").expect("open");
    assert_way(&opened, "Chunks", "sparse");
    let expected = [[2.5f32; 30], [1.0; 30], [2.5; 30], [2.5; 30]].concat();
    assert_eq!(opened.read_items(0..40).expect("read"), expected);
}

#[test]
fn a_file_that_becomes_shorter_is_an_error_in_every_layout() {
    let values: Vec<f32> = (normals(5, ITEMS * 64).iter().map(|&v| v as f32)).collect();
    let dir = tempfile::tempdir().expect("temporary directory");
    for (layout, _) in LAYOUTS {
        let path = dir.path().join("features.h5");
        let file = File::create(&path).expect("create");
        write(&file, "features", layout, &[64], &values);
        file.close().expect("close");
        let dataset = Dataset::open(&path, "features").expect("open");
        assert_eq!(dataset.read_items(0..ITEMS).expect("whole"), values);

        let file = (std::fs::OpenOptions::new().write(true).open(&path)).expect("open");
        let length = file.metadata().expect("metadata").len();
        file.set_len(length - length / 4).expect("cut");
        match dataset.read_items(0..ITEMS) {
            Err(Error::File {
                path: named,
                message,
            }) => {
                assert_eq!(named, path);
                assert!(message.contains("items 0 to 1003"), "{layout}: {message}");
                assert!(message.contains("damaged"), "{layout}: {message}");
            }
            other => panic!("{layout}: {:?}", other.map(|v| v.len())),
        }
    }
}
