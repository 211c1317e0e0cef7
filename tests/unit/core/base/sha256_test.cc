// SPDX-License-Identifier: Apache-2.0
//
// SHA-256 beside the vectors that its standard publishes, and around the ends of blocks, where
// padding has to fit or takes a block of its own.

#include "core/base/sha256.h"

#include <gtest/gtest.h>

#include <string>

namespace {

std::string Digest(const std::string& bytes) {
  char text[TVI_SHA256_TEXT_SIZE];
  tvi_sha256_text(bytes.data(), bytes.size(), text);
  return text;
}

TEST(Sha256, PublishedVectors) {
  EXPECT_EQ(Digest(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Digest(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// What sha256sum says of so many zero bytes: the length just fits the last block, or just does not.
TEST(Sha256, EndsOfBlocks) {
  EXPECT_EQ(Digest(std::string(55, 0)),
            "02779466cdec163811d078815c633f21901413081449002f24aa3e80f0b88ef7");
  EXPECT_EQ(Digest(std::string(60, 0)),
            "5dcc1b5872dd9ff1c234501f1fefda01f664164e1583c3e1bb3dbea47588ab31");
  EXPECT_EQ(Digest(std::string(65, 0)),
            "98ce42deef51d40269d542f5314bef2c7468d401ad5d85168bfab4c0108f75f7");
}

}  // namespace
