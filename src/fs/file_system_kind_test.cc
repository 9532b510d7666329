#include "fs/file_system_kind.h"

#include <gtest/gtest.h>
#include <linux/magic.h>

#include "testing/result_matchers.h"

namespace runnel::fs {
namespace {

TEST(FileSystemKindTest, AgreesWithTheKernelsHeader) {
  const auto class_of = [](auto magic) {
    return ClassifyFileSystem(static_cast<std::uint32_t>(magic)).file_system_class;
  };
  EXPECT_EQ(class_of(EXT4_SUPER_MAGIC), FileSystemClass::kLocal);
  EXPECT_EQ(class_of(XFS_SUPER_MAGIC), FileSystemClass::kLocal);
  EXPECT_EQ(class_of(BTRFS_SUPER_MAGIC), FileSystemClass::kLocal);
  EXPECT_EQ(class_of(F2FS_SUPER_MAGIC), FileSystemClass::kLocal);
  EXPECT_EQ(class_of(TMPFS_MAGIC), FileSystemClass::kLocal);
  EXPECT_EQ(class_of(OVERLAYFS_SUPER_MAGIC), FileSystemClass::kLocal);
  EXPECT_EQ(class_of(NFS_SUPER_MAGIC), FileSystemClass::kNetwork);
  EXPECT_EQ(class_of(SMB_SUPER_MAGIC), FileSystemClass::kNetwork);
  EXPECT_EQ(class_of(SMB2_SUPER_MAGIC), FileSystemClass::kNetwork);
  EXPECT_EQ(class_of(CIFS_SUPER_MAGIC), FileSystemClass::kNetwork);
  EXPECT_EQ(class_of(V9FS_MAGIC), FileSystemClass::kNetwork);
  EXPECT_EQ(class_of(FUSE_SUPER_MAGIC), FileSystemClass::kNetwork);
  EXPECT_EQ(class_of(CEPH_SUPER_MAGIC), FileSystemClass::kNetwork);
  EXPECT_EQ(class_of(AFS_SUPER_MAGIC), FileSystemClass::kNetwork);
}

TEST(FileSystemKindTest, WhatHasNoNameIsUnknownAndShownByNumber) {
  const FileSystemKind kind = ClassifyFileSystem(0xABCDEF01);
  EXPECT_EQ(kind.file_system_class, FileSystemClass::kUnknown);
  EXPECT_EQ(kind.name, "0xabcdef01");
}

TEST(FileSystemKindTest, FindsTheKindOfAPath) {
  // procfs is at this place on every Linux, and is nothing for a database.
  ASSERT_OK_AND_ASSIGN(const FileSystemKind kind, FindFileSystemKind("/proc/self"));
  EXPECT_EQ(kind.file_system_class, FileSystemClass::kUnknown);
  EXPECT_EQ(kind.name, "0x9fa0");
  EXPECT_FAILS(Errc::kNotFound, FindFileSystemKind("/proc/no such thing"));
}

}  // namespace
}  // namespace runnel::fs
