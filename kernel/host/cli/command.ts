/** One subcommand of `shardbook`. `run` resolves to the exit code. */
export interface Command {
  name: string;
  /** One line for the list of commands. */
  summary: string;
  /** The whole help text. */
  usage: string;
  run(args: string[]): Promise<number>;
}
