/**
 * A seccomp filter made by ourselves: a classic BPF program that lets everything through but what no submission needs and
 * escapes are made of: new processes, namespaces, mounts, sockets, tracing, kernel keys and loaders. `bwrap --seccomp FD` reads it.
 */
const EPERM = 1;
const ENOSYS = 38;
const RETURN_ALLOW = 0x7fff0000;
const RETURN_KILL = 0x80000000;
const RETURN_ERRNO = 0x00050000;
/** Offsets in struct seccomp_data. */
const NUMBER = 0;
const ARCH = 4;
const FIRST_ARGUMENT = 16;
const CLONE_THREAD = 0x00010000;
/** System calls of the x32 ABI would pass under other numbers. */
const X32 = 0x40000000;

/** BPF operations: load word, jump if equal, if at least, if any bit is set, return. */
const LOAD = 0x20;
const IF_EQUAL = 0x15;
const IF_AT_LEAST = 0x35;
const IF_SET = 0x45;
const RETURN = 0x06;

interface Abi {
  readonly audit: number;
  readonly clone: number;
  readonly clone3: number;
  readonly denied: readonly number[];
}

/** Numbers that all architectures share since Linux 5.1: io_uring, pidfd, the new mount calls, mount_setattr. */
const COMMON = [424, 425, 426, 427, 428, 429, 430, 431, 432, 433, 434, 438, 442];

const ABIS: Readonly<Record<string, Abi>> = {
  x64: {
    audit: 0xc000003e,
    clone: 56,
    clone3: 435,
    denied: [
      // fork, vfork, execveat
      57,
      58,
      322,
      // socket, connect, accept, bind, listen, socketpair, accept4
      41,
      42,
      43,
      49,
      50,
      53,
      288,
      // ptrace, process_vm_readv, process_vm_writev, personality
      101,
      310,
      311,
      135,
      // unshare, setns, mount, umount2, pivot_root, chroot, name_to_handle_at, open_by_handle_at
      272,
      308,
      165,
      166,
      155,
      161,
      303,
      304,
      // init_module, finit_module, delete_module, kexec_load, kexec_file_load, bpf, perf_event_open, userfaultfd
      175,
      313,
      176,
      246,
      320,
      321,
      298,
      323,
      // add_key, request_key, keyctl, shmget, msgget, semget, mq_open
      248,
      249,
      250,
      29,
      68,
      64,
      240,
      // swapon, swapoff, reboot, acct, quotactl, syslog, settimeofday, clock_settime, sethostname, setdomainname, iopl, ioperm
      167,
      168,
      169,
      163,
      179,
      103,
      164,
      227,
      170,
      171,
      172,
      173,
      ...COMMON,
    ],
  },
  arm64: {
    audit: 0xc00000b7,
    clone: 220,
    clone3: 435,
    denied: [
      281,
      198,
      199,
      200,
      201,
      202,
      203,
      242,
      117,
      270,
      271,
      92,
      97,
      268,
      40,
      39,
      41,
      51,
      264,
      265,
      105,
      273,
      106,
      104,
      294,
      280,
      241,
      282,
      217,
      218,
      219,
      194,
      186,
      190,
      180,
      224,
      225,
      142,
      89,
      60,
      116,
      170,
      112,
      161,
      162,
      ...COMMON,
    ],
  },
};

/** The program as bytes, for this machine's architecture; undefined where its numbers are not known. */
export function seccompProgram(architecture: string = process.arch): Uint8Array | undefined {
  const abi = ABIS[architecture];
  if (abi === undefined) return undefined;
  const code: [op: number, yes: number, no: number, value: number][] = [
    [LOAD, 0, 0, ARCH],
    [IF_EQUAL, 1, 0, abi.audit],
    [RETURN, 0, 0, RETURN_KILL],
    [LOAD, 0, 0, NUMBER],
  ];
  if (architecture === 'x64') code.push([IF_AT_LEAST, 0, 1, X32], [RETURN, 0, 0, RETURN_KILL]);
  // glibc goes back to clone, whose flags can be looked at, when there is no clone3.
  code.push([IF_EQUAL, 0, 1, abi.clone3], [RETURN, 0, 0, RETURN_ERRNO | ENOSYS]);
  for (const number of abi.denied) code.push([IF_EQUAL, 0, 1, number], [RETURN, 0, 0, RETURN_ERRNO | EPERM]);
  // A thread may be made, a process not.
  code.push(
    [IF_EQUAL, 0, 3, abi.clone],
    [LOAD, 0, 0, FIRST_ARGUMENT],
    [IF_SET, 1, 0, CLONE_THREAD],
    [RETURN, 0, 0, RETURN_ERRNO | EPERM],
    [RETURN, 0, 0, RETURN_ALLOW],
  );
  const bytes = new Uint8Array(8 * code.length);
  const view = new DataView(bytes.buffer);
  code.forEach(([op, yes, no, value], i) => {
    view.setUint16(8 * i, op, true);
    view.setUint8(8 * i + 2, yes);
    view.setUint8(8 * i + 3, no);
    view.setUint32(8 * i + 4, value >>> 0, true);
  });
  return bytes;
}
