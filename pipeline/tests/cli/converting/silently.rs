//! What must not be converted to wrong or missing values without a word.

use super::{idx, npy, read};
use crate::project::Project;
use flate2::{Compression, write::GzEncoder};
use polars::prelude::{DataFrame, IntoColumn as _, NamedFrom as _, ParquetWriter, Series};
use std::io::{Cursor, Write as _};
use zip::write::SimpleFileOptions;

/// An image of two grey pixels of this value.
fn grey(value: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[value, value]).unwrap();
    drop(writer);
    bytes
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Fails if reading stops at the last number, before the checksum.
#[test]
fn a_damaged_archive_is_refused_though_all_numbers_can_be_read() {
    let project = Project::new();
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    archive.start_file("x.npy", stored).unwrap();
    let values: Vec<u8> = (100..140).collect();
    archive.write_all(&npy("|u1", "(10, 4)", &values)).unwrap();
    let mut whole = archive.finish().unwrap().into_inner();
    project.write("whole.npz", whole.clone());
    let at = whole.windows(40).position(|part| part == values).unwrap();
    whole[at + 7] ^= 1;
    project.write("damaged.npz", whole);

    let bytes = idx(&[10, 2, 2], &values);
    let packed = gzipped(&bytes);
    project.write("whole-ubyte.gz", packed.clone());
    let mut damaged = packed.clone();
    let checksum = damaged.len() - 8;
    damaged[checksum] ^= 1;
    project.write("damaged-ubyte.gz", damaged);
    project.write("surplus-ubyte.gz", gzipped(&[bytes, vec![0]].concat()));
    project.write(
        "huge-ubyte.gz",
        gzipped(&idx(&[60_000_000, 28, 28], &values)),
    );

    for whole in ["whole.npz", "whole-ubyte.gz"] {
        let to = format!("{whole}.h5");
        project
            .run(&["convert", whole, &to])
            .expect(0, &["written"]);
    }
    for (file, part) in [
        ("damaged.npz", "truncated or damaged"),
        ("damaged-ubyte.gz", "truncated or damaged"),
        ("surplus-ubyte.gz", "more bytes after the last item"),
        ("huge-ubyte.gz", "gzipped bytes, expected"),
    ] {
        project
            .run(&["convert", file, "no.h5"])
            .expect(2, &[file, part]);
        assert!(!project.path("no.h5").exists(), "{file}");
    }
}

/// Fails if 10.png is the third image, if a pipe is waited for, or if images further down are lost without a word.
#[test]
fn images_meet_their_labels_in_the_order_of_their_numbers() {
    let project = Project::new();
    std::fs::create_dir_all(project.path("images")).unwrap();
    for i in 0..12 {
        project.write(&format!("images/{i}.png"), grey(i));
    }
    let labels: Vec<u8> = (0..12).flat_map(|i: i64| (100 + i).to_le_bytes()).collect();
    project.write("labels.npy", npy("<i8", "(12,)", &labels));
    let pipe = project.path("images/pipe.png");
    let made = std::process::Command::new("mkfifo").arg(pipe).status();
    assert!(made.unwrap().success());
    project
        .run(&["convert", "images", "a.h5", "--labels", "labels.npy"])
        .expect(
            0,
            &[
                "images/0.png has the label 100",
                "images/11.png, the last one, 111",
                "1 files that are no images are left out",
            ],
        );
    let (shape, pixels) = read(&project, "a.h5", "images");
    assert_eq!(shape, [12, 1, 1, 2]);
    for (at, pixel) in pixels.chunks(2).enumerate() {
        assert_eq!(pixel[0], at as f64);
    }

    for folder in ["classes/2", "classes/10", "classes/10/more"] {
        std::fs::create_dir_all(project.path(folder)).unwrap();
        project.write(&format!("{folder}/x.png"), grey(1));
    }
    project.run(&["convert", "classes", "b.h5"]).expect(
        0,
        &["1 images in folders inside those of the classes", "2, 10"],
    );
}

/// Fails if a row of values is taken for names, or an index for a feature.
#[test]
fn the_first_row_of_a_table_is_kept_unless_it_is_names() {
    let project = Project::new();
    project.write("iris.csv", "5.1,3.5,Iris-setosa\n4.9,3,Iris-virginica\n");
    project
        .run(&["convert", "iris.csv", "iris.h5", "--labels", "3"])
        .expect(
            0,
            &["no names: the first row (5.1, 3.5, Iris-setosa) is values"],
        );
    assert_eq!(
        read(&project, "iris.h5", "features"),
        (vec![2, 2], [5.1, 3.5, 4.9, 3.0].to_vec())
    );
    project.write("index.csv", ",x,y\n0,5,1\n1,6,0\n");
    project.run(&["convert", "index.csv", "index.h5"]).expect(
        0,
        &[
            "the first row is names: , x, y",
            "left out as pandas' index",
        ],
    );
    assert_eq!(read(&project, "index.h5", "features").1, [5.0, 6.0]);
}

/// Fails if a block of rows is left out or read twice, or if labels that i64 cannot hold end in a panic.
#[test]
fn a_large_group_of_rows_is_read_in_order_and_large_labels_are_refused() {
    let project = Project::new();
    let write = |name: &str, columns: Vec<Series>| {
        let columns: Vec<_> = columns.into_iter().map(Series::into_column).collect();
        let mut frame = DataFrame::new(columns[0].len(), columns).unwrap();
        let file = std::fs::File::create(project.path(name)).unwrap();
        ParquetWriter::new(file).finish(&mut frame).unwrap();
    };
    let x = Series::new("x".into(), [0.5f32, 1.5]);
    let lists = [[1.0, 2.0], [3.0, 4.0]].map(|list| Series::new("".into(), list));
    write(
        "lists.parquet",
        vec![x.clone(), Series::new("label".into(), lists.to_vec())],
    );
    project
        .run(&["convert", "lists.parquet", "no.h5"])
        .expect(2, &["column `label` of type", "--labels NAME"]);
    write(
        "labels.parquet",
        vec![x, Series::new("label".into(), [3u64, 1 << 63])],
    );
    project
        .run(&["convert", "labels.parquet", "no.h5"])
        .expect(2, &["column `label`", "2^63"]);

    // more than are passed on at once
    let rows = (1 << 20) + 10;
    let values: Vec<i32> = (0..rows).collect();
    write("long.parquet", vec![Series::new("x".into(), values)]);
    project
        .run(&["convert", "long.parquet", "long.h5"])
        .expect(0, &["written"]);
    let (_, found) = read(&project, "long.h5", "features");
    assert!(found.iter().copied().eq((0..rows).map(f64::from)));
}

#[test]
fn the_file_that_is_converted_is_never_replaced() {
    let project = Project::new();
    let bytes = npy("|u1", "(2, 2)", &[1, 2, 3, 4]);
    project.write("a.npy", bytes.clone());
    std::fs::hard_link(project.path("a.npy"), project.path("b.h5")).unwrap();
    for to in ["a.npy", "b.h5"] {
        project
            .run(&["convert", "a.npy", to, "--force"])
            .expect(2, &["another name"]);
    }
    assert_eq!(std::fs::read(project.path("a.npy")).unwrap(), bytes);
}
