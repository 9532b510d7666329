#include "fs/file_system_kind.h"

#include <fmt/format.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

namespace runnel::fs {
namespace {

struct KnownFileSystem {
  std::uint64_t magic;
  FileSystemClass file_system_class;
  const char* name;
};

// From the kernel's linux/magic.h and the file systems' own headers.
constexpr KnownFileSystem kKnown[] = {
    {0xEF53, FileSystemClass::kLocal, "ext4"},  // and ext2, ext3: one magic for all
    {0x58465342, FileSystemClass::kLocal, "xfs"},
    {0x9123683E, FileSystemClass::kLocal, "btrfs"},
    {0x2FC12FC1, FileSystemClass::kLocal, "zfs"},
    {0xCA451A4E, FileSystemClass::kLocal, "bcachefs"},
    {0x01021994, FileSystemClass::kLocal, "tmpfs"},
    {0x858458F6, FileSystemClass::kLocal, "ramfs"},
    {0x794C7630, FileSystemClass::kLocal, "overlay"},
    {0xF2F52010, FileSystemClass::kLocal, "f2fs"},
    {0x52654973, FileSystemClass::kLocal, "reiserfs"},
    {0x3153464A, FileSystemClass::kLocal, "jfs"},
    {0x3434, FileSystemClass::kLocal, "nilfs"},
    {0x4D44, FileSystemClass::kLocal, "vfat"},
    {0x2011BAB0, FileSystemClass::kLocal, "exfat"},
    {0x7366746E, FileSystemClass::kLocal, "ntfs3"},
    {0x24051905, FileSystemClass::kLocal, "ubifs"},
    {0x72B6, FileSystemClass::kLocal, "jffs2"},
    {0x6969, FileSystemClass::kNetwork, "nfs"},
    {0x517B, FileSystemClass::kNetwork, "smb"},
    {0xFE534D42, FileSystemClass::kNetwork, "smb2"},
    {0xFF534D42, FileSystemClass::kNetwork, "cifs"},
    {0x65735546, FileSystemClass::kNetwork, "fuse"},  // sshfs, s3fs; also virtiofs
    {0x01021997, FileSystemClass::kNetwork, "9p"},
    {0x00C36400, FileSystemClass::kNetwork, "ceph"},
    {0x0BD00BD0, FileSystemClass::kNetwork, "lustre"},
    {0x01161970, FileSystemClass::kNetwork, "gfs2"},
    {0x7461636F, FileSystemClass::kNetwork, "ocfs2"},
    {0x5346414F, FileSystemClass::kNetwork, "afs"},
    {0x6B414653, FileSystemClass::kNetwork, "kafs"},
    {0x73757245, FileSystemClass::kNetwork, "coda"},
    {0x47504653, FileSystemClass::kNetwork, "gpfs"},
    {0x786F4256, FileSystemClass::kNetwork, "vboxsf"},
    {0xBACBACBC, FileSystemClass::kNetwork, "vmhgfs"},
    {0x19830326, FileSystemClass::kNetwork, "beegfs"},
    {0x20030528, FileSystemClass::kNetwork, "orangefs"},
};

}  // namespace

FileSystemKind ClassifyFileSystem(std::uint64_t magic) {
  const auto* known = std::ranges::find(kKnown, magic, &KnownFileSystem::magic);
  if (known == std::end(kKnown)) {
    return {.file_system_class = FileSystemClass::kUnknown, .name = fmt::format("{:#x}", magic)};
  }
  return {.file_system_class = known->file_system_class, .name = known->name};
}

Result<FileSystemKind> FindFileSystemKind(const Path& path) {
  struct statfs st{};
  int result = 0;
  do {
    result = ::statfs(path.c_str(), &st);
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    const int saved_errno = errno;
    return Fail(Error::FromErrno(saved_errno, "statfs " + path.native()));
  }
  // f_type is signed and sign-extended on some machines; magic numbers have 32 bits.
  return ClassifyFileSystem(static_cast<std::uint32_t>(st.f_type));
}

}  // namespace runnel::fs
