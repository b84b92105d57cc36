// The packages of operating systems that bring what compiling the addon needs.

interface Manager {
  /** The program by which the system is recognised. */
  readonly program: string;
  readonly command: string;
  /** By the names of build-tools.ts; without an entry, what is needed comes in another way. */
  readonly packages: Readonly<Record<string, readonly string[]>>;
}

/** In the order in which they are looked for: a Mac with Homebrew may have others. */
const managers: readonly Manager[] = [
  {
    program: 'apt-get',
    command: 'sudo apt-get install -y',
    packages: {
      'C++20 compiler': ['g++'],
      make: ['make'],
      'Python 3': ['python3'],
      libsodium: ['libsodium-dev'],
    },
  },
  {
    program: 'dnf',
    command: 'sudo dnf install -y',
    packages: {
      'C++20 compiler': ['gcc-c++'],
      make: ['make'],
      'Python 3': ['python3'],
      libsodium: ['libsodium-devel', 'libsodium-static'],
    },
  },
  {
    program: 'apk',
    command: 'apk add',
    packages: {
      // musl comes without the headers of the kernel.
      'C++20 compiler': ['g++', 'linux-headers'],
      make: ['make'],
      'Python 3': ['python3'],
      libsodium: ['libsodium-dev', 'libsodium-static'],
    },
  },
  {
    program: 'brew',
    command: 'brew install',
    packages: { 'Python 3': ['python3'], libsodium: ['libsodium'] },
  },
];

/**
 * @param missing names of build-tools.ts.
 * @param has whether a program is there.
 * @returns what to type to have them; undefined where no known package manager is.
 */
export function packagesCommand(
  missing: readonly string[],
  has: (program: string) => boolean,
): string | undefined {
  const manager = managers.find(({ program }) => has(program));
  if (manager === undefined) return undefined;
  const packages = missing.flatMap((name) => manager.packages[name] ?? []);
  const commands = packages.length === 0 ? [] : [`${manager.command} ${packages.join(' ')}`];
  // The compiler of a Mac is Apple's own, and brings make.
  const apple = manager.program === 'brew' && missing.some((name) => manager.packages[name] === undefined);
  return [...(apple ? ['xcode-select --install'] : []), ...commands].join(' && ');
}
