import { ShardbookError } from 'shardbook';

/**
 * What `--untrusted` says as long as there is no sandbox. Running the submission anyway, with less separation than was
 * asked for, would be worse than not grading it.
 */
export function refuseUntrusted(): never {
  throw new ShardbookError({
    code: 'SB_SANDBOX_MISSING',
    message:
      'Cannot grade an untrusted submission: this version has no sandbox, only a process of its own with limits',
    notes: [
      'A submission could still read files that this user can read beyond the permission model, use the network and signal processes',
    ],
    help: 'Grade only submissions that you trust (without --untrusted), or run the grader in a throw-away container',
  });
}
