import { describe, expect, test } from 'vitest';
import { MessageFactory } from './message.js';
import { WireFormat } from './wire.js';

const message = new MessageFactory().make('kernel_info_request', { a: 'ä' }, undefined);

function frames(format: WireFormat): Buffer[] {
  return format.encode(message, [Buffer.from('id')]).map((frame) => Buffer.from(frame));
}

describe('WireFormat', () => {
  test('decode gives back what encode took, with identities and buffers', () => {
    const wire = new WireFormat('key', 'hmac-sha256');
    const sent = wire
      .encode({ ...message, buffers: [new Uint8Array([1, 2])] }, [Buffer.from('id')])
      .map((f) => Buffer.from(f));
    const { identities, message: back } = wire.decode(sent);
    expect(identities.map(String)).toEqual(['id']);
    expect(back).toEqual({ ...message, buffers: [Buffer.from([1, 2])] });
  });

  test('decode refuses what another key signed, what nobody signed, and repetition', () => {
    const wire = new WireFormat('key', 'hmac-sha256');
    expect(() => wire.decode(frames(new WireFormat('other', 'hmac-sha256')))).toThrow(
      'its signature is wrong',
    );
    expect(() => wire.decode(frames(new WireFormat('', 'hmac-sha256')))).toThrow('its signature is wrong');
    const sent = frames(wire);
    wire.decode(sent);
    expect(() => wire.decode(sent)).toThrow('it was sent twice');
  });

  test('decode refuses frames without delimiter or with too few parts', () => {
    const wire = new WireFormat('', 'hmac-sha256');
    expect(() => wire.decode([Buffer.from('x')])).toThrow('there is no delimiter');
    expect(() => wire.decode(frames(wire).slice(0, 4))).toThrow('it has 1 parts');
  });

  test('an unknown signature scheme is refused', () => {
    expect(() => new WireFormat('key', 'hmac-none')).toThrow('Cannot sign messages by "hmac-none"');
  });
});
