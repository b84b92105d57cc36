// The devices that the configuration of an SAE names.

import { ExecPersona } from '../../keys/personas/exec-persona.js';
import { FilePersona } from '../../keys/personas/file-persona.js';
import type { Persona } from '../../keys/personas/persona.js';
import { TransportPersona } from '../../keys/personas/transport-persona.js';
import { WireguardPersona } from '../../keys/personas/wireguard-persona.js';
import type { SaeConfig } from './config.js';
import type { PersonaConfig } from './config-personas.js';

/** What the peers of an SAE use. */
export interface Devices {
  /** For peers that name no other. */
  readonly usual: Persona;
  /** For a peer that names one, by the id of its SAE. */
  readonly own: ReadonlyMap<string, Persona>;
  /** Those that update connections. */
  readonly transports: readonly TransportPersona[];
  /** That of a peer whose connection it is to update; undefined where its device is another. */
  transportOf(saeId: string): TransportPersona | undefined;
}

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function openDevices(config: SaeConfig): Devices {
  const usual = openDevice(config.persona);
  const own = new Map<string, Persona>();
  for (const { saeId, persona } of config.peers) {
    if (persona !== undefined) own.set(saeId, openDevice(persona));
  }
  const transports = [usual, ...own.values()].filter((persona) => persona instanceof TransportPersona);
  return {
    usual,
    own,
    transports,
    transportOf: (saeId) => {
      const persona = own.get(saeId) ?? usual;
      return persona instanceof TransportPersona ? persona : undefined;
    },
  };
}

function openDevice(config: PersonaConfig): Persona {
  switch (config.type) {
    case 'transport': {
      const { requireKeyMs } = config;
      return new TransportPersona(requireKeyMs === undefined ? {} : { requireKeyMs });
    }
    case 'wireguard':
      return new WireguardPersona({ interface: config.interface, peers: config.peers });
    case 'exec':
      return new ExecPersona({ command: config.command, encoding: config.encoding });
    case 'file':
      return new FilePersona({ directory: config.directory, encoding: config.encoding });
  }
}
